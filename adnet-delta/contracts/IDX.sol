// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title DX, at 0x0000000000000000000000000000000000000a05
/// @notice The token of governance and staking as an ERC-20. All of it, 10^9 whole DX, exists since
/// genesis. Reads answer as of the start of the block.
/// @dev Amounts are in 10^-18 DX. The genesis emits no Transfer events.
interface IDX {
    event Transfer(address indexed from, address indexed to, uint256 amount);

    /// @return "DX"
    function name() external view returns (string memory);

    /// @return "DX"
    function symbol() external view returns (string memory);

    /// @return 18
    function decimals() external view returns (uint8);

    /// @return 10^27: 10^9 whole DX
    function totalSupply() external view returns (uint256);

    function balanceOf(address owner) external view returns (uint256);

    /// @return 0: nobody spends for another
    function allowance(address owner, address spender) external view returns (uint256);

    /// @notice Reverts unless the genesis has `dx_transferable`. Then it is for a transaction straight
    /// to this account, and for contracts through `IActionLog`.
    function transfer(address to, uint256 amount) external returns (bool);

    /// @notice Always reverts.
    function approve(address spender, uint256 amount) external returns (bool);

    /// @notice Always reverts.
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}
