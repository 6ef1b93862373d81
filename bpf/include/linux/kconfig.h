/* What BCC's own headers ask of the kernel's configuration. */
#pragma once
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_ARCH_HAS_SYSCALL_WRAPPER 1
#define __always_inline inline __attribute__((always_inline))
