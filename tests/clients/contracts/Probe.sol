// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// What clients are tried on: events, storage, and every way to fail.
contract Probe {
    event Counted(address indexed by, uint256 indexed count, string note);
    error TooMuch(uint256 asked, uint256 most);

    uint256 public count;
    mapping(address => uint256) public added;

    constructor(uint256 first) payable {
        count = first;
        emit Counted(msg.sender, first, "made");
    }

    receive() external payable {}

    function add(uint256 n, string calldata note) external returns (uint256) {
        count += n;
        added[msg.sender] += n;
        emit Counted(msg.sender, count, note);
        return count;
    }

    function many(uint256 n) external {
        for (uint256 i = 0; i < n; i++) {
            emit Counted(msg.sender, i, "many");
        }
    }

    function failWithReason() external pure {
        revert("a reason");
    }

    function failWithError(uint256 asked) external pure {
        revert TooMuch(asked, 7);
    }

    function divide(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }

    function failSilently() external pure {
        assembly {
            revert(0, 0)
        }
    }

    function spin() external pure {
        while (true) {}
    }

    function destroy(address payable heir) external {
        selfdestruct(heir);
    }

    function here() external view returns (uint256 number, uint256 time, uint256 chain, uint256 held) {
        return (block.number, block.timestamp, block.chainid, address(this).balance);
    }
}

/// What an account delegates to (EIP-7702).
contract Delegate {
    event Touched(address indexed self, uint256 value);

    uint256 public value;

    function touch(uint256 to) external payable {
        value = to;
        emit Touched(address(this), to);
    }
}
