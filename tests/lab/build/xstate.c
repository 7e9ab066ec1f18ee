// Lets the hosts' kernel run on processors whose register state is larger than it knows.
//
// User-mode Linux 6.1 keeps 2696 bytes of a process's extended registers, which is all there is up to AVX-512 and
// protection keys. On a processor with AMX Linux wants the whole state, some 11 KiB, when registers are set
// (xstateregs_set() in arch/x86/kernel/fpu/regset.c gives EFAULT for less), and the first process of the guest dies.
// What is missing is the state of AMX, which no process in the guest has asked for: it is left in its initial state.
//
// Loaded with LD_PRELOAD. Where the kernel's own call is good, nothing changes.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

// XSAVE's standard format (Intel SDM volume 1, 13.4): 512 bytes as FXSAVE's, then a header that begins with the
// bits of the components that are not in their initial state. Bits 17 and 18 are AMX.
enum { HEADER = 512 };
#define KNOWN ((1ULL << 10) - 1)

static char whole[1 << 16];
static size_t whole_size;

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(enum __ptrace_request, ...);
    if (!real)
        real = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (request != PTRACE_SETREGSET || (uintptr_t)address != NT_X86_XSTATE)
        return real(request, pid, address, data);
    struct iovec *given = data;
    if (!whole_size) {
        long result = real(request, pid, address, data);
        if (result == 0 || errno != EFAULT)
            return result;
        struct iovec all = { whole, sizeof whole };
        if (real(PTRACE_GETREGSET, pid, address, &all) < 0 || all.iov_len <= given->iov_len) {
            errno = EFAULT;
            return -1;
        }
        whole_size = all.iov_len;
        memset(whole, 0, sizeof whole);
    }
    memcpy(whole, given->iov_base, given->iov_len);
    uint64_t components;
    memcpy(&components, whole + HEADER, sizeof components);
    components &= KNOWN;
    memcpy(whole + HEADER, &components, sizeof components);
    struct iovec all = { whole, whole_size };
    return real(request, pid, address, &all);
}
