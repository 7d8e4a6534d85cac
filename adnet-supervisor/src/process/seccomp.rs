//! From the tables of [`super::seccomp_policy`] to filters in the kernel.
//!
//! The tables have three answers and a filter has two, so there are three filters. The kernel asks
//! all of them and takes the most severe answer; among equals the filter installed last wins. Hence
//! the order: allow-list (else EPERM), then ENOSYS for modern calls, then death for the deadly.
//!
//! The kernel remembers for each call whether all filters allow it whatever its arguments, and then
//! runs none of them: the ring's futex and all reads and writes cost nothing more. A call whose
//! arguments are looked at costs a walk through the tables, some hundred nanoseconds.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use nix::libc;

use super::seccomp_policy::{self, Syscall, Test};

/// Why the filters are not in force.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// The tables do not make a filter; a mistake in them, or an unknown architecture.
    #[error("the system call policy does not compile: {0}")]
    Compile(#[from] seccompiler::BackendError),
    /// The kernel refused a filter.
    #[error("the kernel refused a system call filter: {0}")]
    Install(#[from] seccompiler::Error),
}

/// The three filters for the process `own_pid`, in the order of their installation.
pub fn compile(own_pid: i32) -> Result<[BpfProgram; 3], SeccompError> {
    let allow = SeccompAction::Allow;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    Ok([
        filter(seccomp_policy::allowed(own_pid), allow.clone(), refuse)?,
        modern_calls_are_unknown(),
        filter(seccomp_policy::deadly(), SeccompAction::KillProcess, allow)?,
    ])
}

/// Puts the filters in force for the calling thread and all that it starts. It cannot be undone.
pub fn install(filters: &[BpfProgram; 3]) -> Result<(), SeccompError> {
    for filter in filters {
        apply_filter(filter)?;
    }
    Ok(())
}

/// Written by hand, because a range in a table would be one comparison per number.
fn modern_calls_are_unknown() -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const JUMP_IF_ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// Offset of the call's number in `struct seccomp_data`.
    const NUMBER: u32 = 0;

    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD, 0, 0, NUMBER),
        step(JUMP_IF_AT_LEAST, 0, 2, seccomp_policy::MODERN_FIRST),
        step(JUMP_IF_ABOVE, 1, 0, seccomp_policy::MODERN_LAST),
        step(
            RETURN,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn filter(
    table: Vec<Syscall>,
    on_match: SeccompAction,
    otherwise: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules = BTreeMap::new();
    for syscall in table {
        let any_of = syscall
            .any_of
            .iter()
            .map(|tests| rule(tests))
            .collect::<Result<_, _>>()?;
        rules.insert(syscall.number, any_of);
    }
    SeccompFilter::new(rules, otherwise, on_match, TargetArch::try_from(ARCH)?)?.try_into()
}

fn rule(tests: &[Test]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(tests.iter().map(condition).collect::<Result<_, _>>()?)
}

fn condition(test: &Test) -> Result<SeccompCondition, seccompiler::BackendError> {
    match *test {
        Test::Masked32 { index, mask, value } => SeccompCondition::new(
            index,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask.into()),
            value.into(),
        ),
        Test::Null { index } => {
            SeccompCondition::new(index, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_policy_compiles_and_names_every_call_once_with_a_reason() {
        let filters = compile(4_242).unwrap();
        assert!(filters.iter().all(|filter| filter.len() < 2_048));
        for table in [seccomp_policy::allowed(1), seccomp_policy::deadly()] {
            let numbers: BTreeSet<i64> = table.iter().map(|call| call.number).collect();
            assert_eq!(numbers.len(), table.len(), "a call is listed twice");
            for call in table {
                assert!(call.why.len() >= 7, "{} has no reason", call.name);
            }
        }
    }

    #[test]
    fn what_is_deadly_is_not_allowed_except_where_arguments_or_order_decide() {
        let deadly: BTreeSet<i64> = seccomp_policy::deadly()
            .iter()
            .map(|call| call.number)
            .collect();
        let both: Vec<&str> = seccomp_policy::allowed(1)
            .iter()
            .filter(|call| deadly.contains(&call.number))
            .map(|call| call.name)
            .collect();
        assert_eq!(both, ["SYS_mmap", "SYS_mprotect", "SYS_seccomp"]);
    }
}
