// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// The system account 0x0000000000000000000000000000000000000a01 of Delta.
///
/// It can be called by a transaction straight to it only: calls from contracts revert.
interface IAttest {
    /// An unlock left for Alpha. `amountUnits` counts 10^-4 AX; `sequence` counts unlocks from 1.
    event Unlock(uint64 indexed sequence, bytes32 indexed recipient, uint256 amountUnits);

    /// Burns the value sent with the call, a positive multiple of 10^14 wei, and releases as much
    /// AX to the account of this ed25519 public key on Alpha.
    function unlock(bytes32 alphaPublicKey) external payable;
}
