//! The sandbox on Linux: landlock for files, seccomp for sockets.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use victor_core::sandbox::Network;

use super::Limits;

/// Devices that programs write to and nobody is harmed.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx"];
const TERMINALS: &str = "/dev/pts";

const AF_UNIX: u64 = 1;
/// Talks to the kernel only; programs ask it for their own addresses.
const AF_NETLINK: u64 = 16;
const EACCES: u32 = 13;
/// The same on every architecture.
const SYS_IO_URING_SETUP: i64 = 425;
#[cfg(target_arch = "x86_64")]
const SYS_SOCKET: i64 = 41;
#[cfg(not(target_arch = "x86_64"))]
const SYS_SOCKET: i64 = 198;
/// Marks the system calls of x32 programs, which the kernel takes beside those of x86-64.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Restricts the thread that calls it as much as can be, to see whether that works.
pub(super) fn probe() -> (u8, bool) {
    let abi = match landlocked(&[]) {
        Ok(RestrictionStatus { landlock: LandlockStatus::Available { effective_abi, kernel_abi }, .. }) => {
            u8::try_from(kernel_abi.unwrap_or(effective_abi as i32)).unwrap_or(u8::MAX)
        }
        _ => 0,
    };
    (abi, deny_network().is_ok())
}

/// Restricts the thread that calls it, and all that it starts, for good.
pub(super) fn restrict(limits: &Limits) -> Result<(), String> {
    drop_capabilities();
    let writable: Vec<&Path> = limits.writable.iter().map(std::path::PathBuf::as_path).collect();
    let status = landlocked(&writable)?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("the kernel does not enforce it".to_owned());
    }
    match limits.network {
        Network::Denied => deny_network(),
        Network::Allowed => Ok(()),
    }
}

/// Takes from root what reaches around landlock: memory of other processes, mounts, raw devices and sockets. What root
/// needs to work on other people's files stays. Others have none of it, and may not drop it: that is no failure.
fn drop_capabilities() {
    let reaching = CapabilitySet::SYS_PTRACE
        | CapabilitySet::PERFMON
        | CapabilitySet::SYS_ADMIN
        | CapabilitySet::SYS_MODULE
        | CapabilitySet::SYS_RAWIO
        | CapabilitySet::SYS_BOOT
        | CapabilitySet::SYS_TIME
        | CapabilitySet::MKNOD
        | CapabilitySet::NET_ADMIN
        | CapabilitySet::NET_RAW
        | CapabilitySet::BPF
        | CapabilitySet::SYSLOG
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::CHECKPOINT_RESTORE
        | CapabilitySet::MAC_ADMIN
        | CapabilitySet::MAC_OVERRIDE;
    for capability in reaching.iter() {
        // A program gets its capabilities when it starts, from this set; the thread's own end with it.
        let _ = remove_capability_from_bounding_set(capability);
    }
}

/// Takes every right to write from the thread, but below `writable`. Reading stays free.
fn landlocked(writable: &[&Path]) -> Result<RestrictionStatus, String> {
    let needed = AccessFs::from_write(ABI::V3);
    let all = AccessFs::from_write(ABI::V5);
    let device = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let terminals = device | AccessFs::RemoveFile;
    let locked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(needed)
        .and_then(|r| r.set_compatibility(CompatLevel::BestEffort).handle_access(all))
        .and_then(|r| r.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(|r| r.add_rules(path_beneath_rules(writable, all)))
        .and_then(|r| r.add_rules(path_beneath_rules(DEVICES, device)))
        .and_then(|r| r.add_rules(path_beneath_rules([TERMINALS], terminals)))
        .and_then(landlock::RulesetCreated::restrict_self);
    locked.map_err(|e| format!("landlock: {e}"))
}

/// Refuses sockets of every family but the local ones, and io_uring, which makes sockets past this filter.
fn deny_network() -> Result<(), String> {
    let fail = |e: &dyn std::fmt::Display| format!("seccomp: {e}");
    let other = |family| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family);
    let remote = other(AF_UNIX).and_then(|a| other(AF_NETLINK).map(|b| vec![a, b]));
    let remote = remote.and_then(SeccompRule::new).map_err(|e| fail(&e))?;
    let mut rules = BTreeMap::from([(SYS_SOCKET, vec![remote]), (SYS_IO_URING_SETUP, Vec::new())]);
    #[cfg(target_arch = "x86_64")]
    rules.extend(rules.clone().into_iter().map(|(call, rule)| (call | X32, rule)));
    let arch = std::env::consts::ARCH.try_into().map_err(|e| fail(&e))?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EACCES), arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|e| fail(&e))?;
    seccompiler::apply_filter(&program).map_err(|e| fail(&e))
}
