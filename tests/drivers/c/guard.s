// What a linker with /GS and control-flow guard expects of a kit's library: the security cookie with its check, the
// guard functions that stand until the loader puts its own in, and the load configuration that names them all.

	.section	.data,"dw"
	.globl	__security_cookie
	.p2align	3
__security_cookie:
	.quad	0x00002B992DDFA232

	.section	.rdata,"dr"
	.globl	__guard_check_icall_fptr
	.globl	__guard_dispatch_icall_fptr
	.p2align	3
__guard_check_icall_fptr:
	.quad	check_nothing
__guard_dispatch_icall_fptr:
	.quad	dispatch

	.section	.text,"xr"
	.globl	__security_check_cookie
	.p2align	4
__security_check_cookie:
	cmpq	__security_cookie(%rip), %rcx
	jne	1f
	movq	%rcx, %rax
	shrq	$48, %rax
	jne	1f
	retq
1:
	movl	$2, %ecx		// FAST_FAIL_STACK_COOKIE_CHECK_FAILURE
	int	$0x29
	.p2align	4
check_nothing:
	retq
	.p2align	4
dispatch:
	jmpq	*%rax

	.section	.rdata,"dr"
	.globl	_load_config_used
	.p2align	3
_load_config_used:
	.long	280			// the size, up to and with GuardEHContinuationCount
	.zero	84
	.quad	__security_cookie
	.zero	16
	.quad	__guard_check_icall_fptr
	.quad	__guard_dispatch_icall_fptr
	.quad	__guard_fids_table
	.quad	__guard_fids_count
	.long	__guard_flags
	.zero	12
	.quad	__guard_iat_table
	.quad	__guard_iat_count
	.quad	__guard_longjmp_table
	.quad	__guard_longjmp_count
	.zero	72
	.quad	__guard_eh_cont_table
	.quad	__guard_eh_cont_count
