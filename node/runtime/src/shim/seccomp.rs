//! The runtime's default system call filter, as a small BPF program of our own: what could reach the kernel's or the
//! host's insides is refused, unless a capability of the container stands for it. It refuses what Docker's and
//! containerd's default profiles refuse; the argument rules of `clone` and `socket` are theirs too.

use std::io;

use crate::oci::capabilities::Set;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// `CLONE_NEW*` of every namespace kind.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;
/// x86's x32 calls carry this bit; no program uses them.
const X32_BIT: u32 = 0x4000_0000;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0000 | libc::EPERM as u32;
const ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;

/// Calls of old kernels, which the C library no longer names.
#[cfg(target_arch = "x86_64")]
const CREATE_MODULE: libc::c_long = 174;
#[cfg(target_arch = "x86_64")]
const GET_KERNEL_SYMS: libc::c_long = 177;
#[cfg(target_arch = "x86_64")]
const QUERY_MODULE: libc::c_long = 178;

/// Refused calls, and the capability that allows them ("" for none).
fn refused() -> Vec<(&'static str, Vec<libc::c_long>)> {
    let mut table = vec![
        (
            "CAP_SYS_ADMIN",
            vec![
                libc::SYS_fanotify_init,
                libc::SYS_fsconfig,
                libc::SYS_fsmount,
                libc::SYS_fsopen,
                libc::SYS_fspick,
                libc::SYS_mount,
                libc::SYS_mount_setattr,
                libc::SYS_move_mount,
                libc::SYS_open_tree,
                libc::SYS_quotactl,
                libc::SYS_quotactl_fd,
                libc::SYS_setdomainname,
                libc::SYS_sethostname,
                libc::SYS_setns,
                libc::SYS_umount2,
                libc::SYS_unshare,
                libc::SYS_pivot_root,
                libc::SYS_swapon,
                libc::SYS_swapoff,
            ],
        ),
        ("CAP_SYS_BOOT", vec![libc::SYS_reboot, libc::SYS_kexec_load, libc::SYS_kexec_file_load]),
        ("CAP_SYS_MODULE", vec![libc::SYS_delete_module, libc::SYS_init_module, libc::SYS_finit_module]),
        ("CAP_SYS_PACCT", vec![libc::SYS_acct]),
        ("CAP_SYS_TIME", vec![libc::SYS_settimeofday, libc::SYS_clock_settime]),
        ("CAP_SYS_TTY_CONFIG", vec![libc::SYS_vhangup]),
        (
            "CAP_SYS_NICE",
            vec![
                libc::SYS_get_mempolicy,
                libc::SYS_mbind,
                libc::SYS_set_mempolicy,
                libc::SYS_move_pages,
                libc::SYS_migrate_pages,
            ],
        ),
        ("CAP_SYSLOG", vec![libc::SYS_syslog]),
        ("CAP_BPF", vec![libc::SYS_bpf]),
        ("CAP_PERFMON", vec![libc::SYS_perf_event_open]),
        ("CAP_DAC_READ_SEARCH", vec![libc::SYS_open_by_handle_at]),
        ("CAP_SYS_PTRACE", vec![libc::SYS_kcmp]),
        (
            "",
            vec![
                libc::SYS_add_key,
                libc::SYS_keyctl,
                libc::SYS_request_key,
                libc::SYS_userfaultfd,
                libc::SYS_lookup_dcookie,
                libc::SYS_nfsservctl,
                libc::SYS_io_uring_setup,
                libc::SYS_io_uring_enter,
                libc::SYS_io_uring_register,
            ],
        ),
    ];
    #[cfg(target_arch = "x86_64")]
    {
        table.push(("CAP_SYS_RAWIO", vec![libc::SYS_iopl, libc::SYS_ioperm]));
        table.push((
            "",
            vec![
                CREATE_MODULE,
                GET_KERNEL_SYMS,
                QUERY_MODULE,
                libc::SYS_sysfs,
                libc::SYS__sysctl,
                libc::SYS_uselib,
                libc::SYS_ustat,
            ],
        ));
    }
    table
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENT_0: u32 = 16;

/// The filter for a container with these capabilities.
fn program(capabilities: Set) -> Vec<libc::sock_filter> {
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut out = vec![
        op(LOAD, 0, 0, OFFSET_ARCHITECTURE),
        op(JUMP_EQUAL, 1, 0, ARCHITECTURE),
        op(RETURN, 0, 0, EPERM),
        op(LOAD, 0, 0, OFFSET_NUMBER),
        op(JUMP_GREATER_OR_EQUAL, 0, 1, X32_BIT),
        op(RETURN, 0, 0, ENOSYS),
    ];
    let mut when = |number: libc::c_long, answer: u32| {
        let number = u32::try_from(number).expect("system call numbers are small");
        out.extend([op(JUMP_EQUAL, 0, 1, number), op(RETURN, 0, 0, answer)]);
    };
    for (capability, calls) in refused() {
        // CAP_SYS_ADMIN has always stood for the capabilities that were later taken out of it.
        let stands_in = ["CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON"].contains(&capability);
        if capabilities.has(capability) || stands_in && capabilities.has("CAP_SYS_ADMIN") {
            continue;
        }
        calls.into_iter().for_each(|call| when(call, EPERM));
    }
    if !capabilities.has("CAP_SYS_ADMIN") {
        // Its flags lie behind a pointer where no filter can look; the C library then takes clone.
        when(libc::SYS_clone3, ENOSYS);
        out.extend([
            op(JUMP_EQUAL, 0, 3, libc::SYS_clone as u32),
            op(LOAD, 0, 0, OFFSET_ARGUMENT_0),
            op(JUMP_ANY_BIT, 0, 5, NAMESPACE_FLAGS),
            op(RETURN, 0, 0, EPERM),
            op(JUMP_EQUAL, 0, 4, libc::SYS_socket as u32),
            op(LOAD, 0, 0, OFFSET_ARGUMENT_0),
            op(JUMP_EQUAL, 0, 1, libc::AF_VSOCK as u32),
            op(RETURN, 0, 0, EPERM),
            op(RETURN, 0, 0, ALLOW),
        ]);
    }
    out.push(op(RETURN, 0, 0, ALLOW));
    out
}

/// Filters the calling process, and whatever it becomes, then lowers its capabilities to `capabilities`. Needs
/// CAP_SYS_ADMIN, which is then given up unless it is among them.
#[expect(unsafe_code, reason = "filters and capabilities are set by raw system calls")]
pub(crate) fn install(capabilities: Set) -> io::Result<()> {
    let mut filter = program(capabilities);
    let program =
        libc::sock_fprog { len: u16::try_from(filter.len()).expect("short"), filter: filter.as_mut_ptr() };
    // SAFETY: the program points to `filter`, which outlives the call.
    if unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    lower(capabilities)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

#[expect(unsafe_code, reason = "capabilities are set by raw system calls")]
fn lower(capabilities: Set) -> io::Result<()> {
    for number in 0..crate::oci::capabilities::NAMES.len() {
        if capabilities.0 >> number & 1 == 0 {
            // SAFETY: the call takes numbers only. A number that the kernel does not know is refused, harmlessly.
            let _ = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        }
    }
    let header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: header and data have the layout of version 3 and outlive the calls.
    if unsafe { libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for (half, data) in data.iter_mut().enumerate() {
        let wanted = (capabilities.0 >> (32 * half)) as u32;
        data.effective &= wanted;
        data.permitted &= wanted;
        data.inheritable &= wanted;
    }
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn answer(capabilities: Set, number: libc::c_long, argument: u32) -> u32 {
        let program = program(capabilities);
        let (mut at, mut register) = (0, 0_u32);
        loop {
            let op = &program[at];
            at += 1;
            let taken = match op.code {
                LOAD => {
                    register = match op.k {
                        OFFSET_NUMBER => number as u32,
                        OFFSET_ARCHITECTURE => ARCHITECTURE,
                        _ => argument,
                    };
                    continue;
                }
                RETURN => return op.k,
                JUMP_EQUAL => register == op.k,
                JUMP_GREATER_OR_EQUAL => register >= op.k,
                JUMP_ANY_BIT => register & op.k != 0,
                other => panic!("code {other}"),
            };
            at += usize::from(if taken { op.jt } else { op.jf });
        }
    }

    #[test]
    fn the_default_filter_refuses_what_reaches_the_host() {
        let plain = Set::by_default();
        let admin = plain.with("CAP_SYS_ADMIN");
        for (who, set, call, argument, want) in [
            ("plain", plain, libc::SYS_read, 0, ALLOW),
            ("plain", plain, libc::SYS_mount, 0, EPERM),
            ("plain", plain, libc::SYS_clone3, 0, ENOSYS),
            ("plain", plain, libc::SYS_clone, libc::CLONE_NEWUSER as u32, EPERM),
            ("plain", plain, libc::SYS_clone, libc::SIGCHLD as u32, ALLOW),
            ("plain", plain, libc::SYS_socket, libc::AF_INET as u32, ALLOW),
            ("plain", plain, libc::SYS_socket, libc::AF_VSOCK as u32, EPERM),
            ("plain", plain, libc::SYS_execve, 0, ALLOW),
            ("plain", plain, libc::SYS_keyctl, 0, EPERM),
            ("admin", admin, libc::SYS_mount, 0, ALLOW),
            ("admin", admin, libc::SYS_clone3, 0, ALLOW),
            ("admin", admin, libc::SYS_bpf, 0, ALLOW),
            ("admin", admin, libc::SYS_keyctl, 0, EPERM),
        ] {
            assert_eq!(answer(set, call, argument), want, "{who} {call} {argument:#x}");
        }
    }
}
