//! libc's sources of randomness, replaced.

/// Fills the buffer from the kernel.
#[cfg(target_os = "linux")]
pub(crate) fn from_kernel(mut buffer: &mut [u8]) {
    while !buffer.is_empty() {
        // SAFETY: the pointer and length are those of a live, writable slice.
        let n = unsafe { libc::syscall(libc::SYS_getrandom, buffer.as_mut_ptr(), buffer.len(), 0) };
        let interrupted = std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        assert!(n > 0 || interrupted, "the kernel gave no randomness");
        buffer = &mut buffer[usize::try_from(n).unwrap_or(0)..];
    }
}

/// `getrandom(2)` as libc declares it.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as for libc's.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut libc::c_void, length: usize, flags: libc::c_uint) -> isize {
    if crate::is_simulated() {
        if length > 0 {
            // SAFETY: the caller promises a writable buffer of this length.
            crate::fill(unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) });
        }
        return length as isize;
    }
    // SAFETY: as above; the kernel checks the rest.
    unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize }
}

#[cfg(target_os = "macos")]
unsafe extern "C" {
    fn CCRandomGenerateBytes(buffer: *mut libc::c_void, length: usize) -> i32;
}

/// Fills the buffer from the kernel.
#[cfg(target_os = "macos")]
pub(crate) fn from_kernel(buffer: &mut [u8]) {
    // SAFETY: the pointer and length are those of a live, writable slice.
    let status = unsafe { CCRandomGenerateBytes(buffer.as_mut_ptr().cast(), buffer.len()) };
    assert_eq!(status, 0, "the kernel gave no randomness");
}

/// `getentropy(2)` as libc declares it.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as for libc's.
#[cfg(target_os = "macos")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(buffer: *mut libc::c_void, length: usize) -> libc::c_int {
    if length > 0 {
        // SAFETY: the caller promises a writable buffer of this length.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
        crate::fill(buffer);
    }
    0
}
