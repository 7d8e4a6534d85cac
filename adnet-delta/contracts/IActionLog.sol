// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title The action log of Delta, at 0x0000000000000000000000000000000000000a04
/// @notice How contracts write to system programs. `send` only logs the action. When the whole
/// transaction has succeeded, its actions are applied in order, before the next transaction, by the
/// same code that serves a transaction straight to the program. What became of each is the last log
/// about it in the same receipt. A frame that reverts takes its actions with it.
/// @dev Not within STATICCALL, and not by DELEGATECALL or CALLCODE. A block applies at most 4,096 actions.
interface IActionLog {
    /// @notice Somebody has sent an action.
    /// @param valueWei Waits at this account until the action is applied or refused.
    event Action(address indexed sender, address indexed program, uint256 valueWei, bytes data);

    /// @notice An action was applied. The program's own logs come before this one.
    /// @param index Which of the transaction's actions, from 0.
    event ActionApplied(address indexed sender, address indexed program, uint256 index);

    /// @notice An action was refused and changed nothing; its value is the sender's again.
    /// @param index Which of the transaction's actions, from 0.
    /// @param reason As a call straight to the program would have reverted.
    event ActionRefused(address indexed sender, address indexed program, uint256 index, string reason);

    /// @notice Sends an action. Reverts if the program has no function of this kind, or if this block
    /// can apply no more. The gas of the program's function is taken here.
    /// @param program The system program, such as 0x...0a01.
    /// @param data The calldata of the function, at most 1,024 bytes.
    function send(address program, bytes calldata data) external payable;
}
