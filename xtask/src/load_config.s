// The image's load configuration and its security cookie, for a link without the WDK's BufferOverflowFastFailK.lib.
// The loader puts a random value into the cookie before the driver's entry; this one says that it has not.

	.section	.data,"dw"
	.globl	__security_cookie
	.p2align	3
__security_cookie:
	.quad	0x00002B992DDFA232

// IMAGE_LOAD_CONFIG_DIRECTORY64 up to and with GuardFlags: size, 84 bytes that stay zero, the cookie's address,
// and no guard tables.
	.section	.rdata,"dr"
	.globl	_load_config_used
	.p2align	3
_load_config_used:
	.long	148
	.zero	84
	.quad	__security_cookie
	.zero	52

// Stands in for functions that only unreachable code calls; an image that holds it is refused.
	.section	.text$zz,"xr",discard,deferlwf_unreachable
	.globl	deferlwf_unreachable
deferlwf_unreachable:
	.long	0
