// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title The attest program of Delta, at 0x0000000000000000000000000000000000000a01
/// @notice Burns sAX here and releases as much AX on Alpha. One unit is 10^-4 sAX, 10^14 wei.
/// @dev `unlock` is for a transaction straight to this account. A contract unlocks through the
/// action log: `IActionLog.send{value: v}(0x...0a01, abi.encodeCall(IAttest.unlock, (key)))`.
interface IAttest {
    /// @notice An unlock has left for Alpha.
    /// @param sequence Counts all messages of Delta to Alpha, from 1.
    /// @param recipient The ed25519 public key that owns the account on Alpha.
    /// @param amountUnits In 10^-4 AX.
    event Unlock(uint64 indexed sequence, bytes32 indexed recipient, uint256 amountUnits);

    /// @notice Burns the value sent, a positive multiple of 10^14 wei, for AX on Alpha.
    /// @param alphaPublicKey The ed25519 public key that owns the account on Alpha.
    function unlock(bytes32 alphaPublicKey) external payable;

    /// @notice Delta's side of the supply equation, as of the start of the block.
    /// @return mintedUnits Ever minted from locks and by the genesis, in 10^-4 sAX.
    /// @return burnedUnits Ever burned for unlocks, in 10^-4 sAX.
    /// @return lastSent Sequence of the last message to Alpha.
    /// @return lastConsumed Sequence of the last message of Alpha.
    function supply()
        external
        view
        returns (uint64 mintedUnits, uint64 burnedUnits, uint64 lastSent, uint64 lastConsumed);
}
