// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Counts its calls and tells of each.
contract Emitter {
    uint256 private calls;

    event Called(uint256 indexed number, bytes input);

    fallback() external payable {
        emit Called(++calls, msg.data);
    }
}

/// Fails as the contract does that the fixtures of execution-apis call.
contract Failing {
    fallback(bytes calldata input) external returns (bytes memory) {
        if (input.length > 0 && input[0] == 0x01) revert("user error");
        assert(false);
        return "";
    }
}
