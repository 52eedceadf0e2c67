/*
 * Addresses, encodings, bitmaps, names and versions of the kernel's run-time library: tried against what the pages of the
 * functions say. The driver stops the system where one differs; what fails for want of memory ends a trial.
 */
#include "filter.h"

#define RTL(result) __declspec(dllimport) result

RTL(char *) RtlIpv4AddressToStringA(const void *address, char *text);
RTL(WCHAR *) RtlIpv4AddressToStringW(const void *address, WCHAR *text);
RTL(LONG) RtlIpv4AddressToStringExA(const void *address, USHORT port, char *text, ULONG *length);
RTL(LONG) RtlIpv4AddressToStringExW(const void *address, USHORT port, WCHAR *text, ULONG *length);
RTL(LONG) RtlIpv4StringToAddressA(const char *text, BOOLEAN strict, const char **end, void *address);
RTL(LONG) RtlIpv4StringToAddressW(const WCHAR *text, BOOLEAN strict, const WCHAR **end, void *address);
RTL(LONG) RtlIpv4StringToAddressExA(const char *text, BOOLEAN strict, void *address, USHORT *port);
RTL(LONG) RtlIpv4StringToAddressExW(const WCHAR *text, BOOLEAN strict, void *address, USHORT *port);
RTL(char *) RtlIpv6AddressToStringA(const void *address, char *text);
RTL(WCHAR *) RtlIpv6AddressToStringW(const void *address, WCHAR *text);
RTL(LONG) RtlIpv6AddressToStringExA(const void *address, ULONG zone, USHORT port, char *text, ULONG *length);
RTL(LONG) RtlIpv6AddressToStringExW(const void *address, ULONG zone, USHORT port, WCHAR *text, ULONG *length);
RTL(LONG) RtlIpv6StringToAddressA(const char *text, const char **end, void *address);
RTL(LONG) RtlIpv6StringToAddressW(const WCHAR *text, const WCHAR **end, void *address);
RTL(LONG) RtlIpv6StringToAddressExA(const char *text, void *address, ULONG *zone, USHORT *port);
RTL(LONG) RtlIpv6StringToAddressExW(const WCHAR *text, void *address, ULONG *zone, USHORT *port);
RTL(char *) RtlEthernetAddressToStringA(const void *address, char *text);
RTL(WCHAR *) RtlEthernetAddressToStringW(const void *address, WCHAR *text);
RTL(LONG) RtlEthernetStringToAddressA(const char *text, const char **end, void *address);
RTL(LONG) RtlEthernetStringToAddressW(const WCHAR *text, const WCHAR **end, void *address);
RTL(NTSTATUS) RtlMultiByteToUnicodeSize(ULONG *size, const void *text, ULONG length);
RTL(NTSTATUS) RtlUnicodeToMultiByteN(void *text, ULONG room, ULONG *actual, const WCHAR *source, ULONG length);
RTL(NTSTATUS) RtlUnicodeToMultiByteSize(ULONG *size, const WCHAR *text, ULONG length);
RTL(NTSTATUS) RtlUpcaseUnicodeToMultiByteN(void *text, ULONG room, ULONG *actual, const WCHAR *source, ULONG length);
RTL(NTSTATUS) RtlOemToUnicodeN(WCHAR *text, ULONG room, ULONG *actual, const void *source, ULONG length);
RTL(NTSTATUS) RtlUnicodeToOemN(void *text, ULONG room, ULONG *actual, const WCHAR *source, ULONG length);
RTL(NTSTATUS) RtlUpcaseUnicodeToOemN(void *text, ULONG room, ULONG *actual, const WCHAR *source, ULONG length);
RTL(NTSTATUS) RtlOemStringToUnicodeString(UNICODE_STRING *target, STRING *source, BOOLEAN allocate);
RTL(NTSTATUS) RtlUnicodeStringToOemString(STRING *target, UNICODE_STRING *source, BOOLEAN allocate);
RTL(NTSTATUS) RtlUpcaseUnicodeStringToOemString(STRING *target, UNICODE_STRING *source, BOOLEAN allocate);
RTL(void) RtlFreeOemString(STRING *string);
RTL(ULONG) RtlxOemStringToUnicodeSize(STRING *string);
RTL(ULONG) RtlxUnicodeStringToOemSize(UNICODE_STRING *string);
RTL(char) RtlUpperChar(char character);
RTL(void) RtlUpperString(STRING *target, const STRING *source);
RTL(NTSTATUS) RtlCharToInteger(const char *text, ULONG base, ULONG *value);
RTL(BOOLEAN) FsRtlIsNameInExpression(UNICODE_STRING *pattern, UNICODE_STRING *name, BOOLEAN ignore_case, WCHAR *table);
RTL(BOOLEAN) RtlIsNameInExpression(UNICODE_STRING *pattern, UNICODE_STRING *name, BOOLEAN ignore_case, WCHAR *table);
RTL(BOOLEAN) FsRtlDoesNameContainWildCards(UNICODE_STRING *name);
RTL(void) RtlInitializeBitMap(PVOID map, ULONG *words, ULONG count);
RTL(void) RtlClearBit(PVOID map, ULONG index);
RTL(void) RtlSetBit(PVOID map, ULONG index);
RTL(BOOLEAN) RtlTestBit(PVOID map, ULONG index);
RTL(void) RtlClearAllBits(PVOID map);
RTL(void) RtlSetAllBits(PVOID map);
RTL(void) RtlClearBits(PVOID map, ULONG begin, ULONG count);
RTL(void) RtlSetBits(PVOID map, ULONG begin, ULONG count);
RTL(BOOLEAN) RtlAreBitsClear(PVOID map, ULONG begin, ULONG count);
RTL(BOOLEAN) RtlAreBitsSet(PVOID map, ULONG begin, ULONG count);
RTL(ULONG) RtlFindClearBits(PVOID map, ULONG count, ULONG hint);
RTL(ULONG) RtlFindSetBits(PVOID map, ULONG count, ULONG hint);
RTL(ULONG) RtlFindClearBitsAndSet(PVOID map, ULONG count, ULONG hint);
RTL(ULONG) RtlFindSetBitsAndClear(PVOID map, ULONG count, ULONG hint);
RTL(ULONG) RtlFindFirstRunClear(PVOID map, ULONG *begin);
RTL(ULONG) RtlFindLongestRunClear(PVOID map, ULONG *begin);
RTL(ULONG) RtlFindNextForwardRunClear(PVOID map, ULONG from, ULONG *begin);
RTL(ULONG) RtlFindLastBackwardRunClear(PVOID map, ULONG from, ULONG *begin);
RTL(ULONG) RtlFindClearRuns(PVOID map, ULONG *runs, ULONG room, BOOLEAN longest);
RTL(ULONG) RtlNumberOfClearBits(PVOID map);
RTL(ULONG) RtlNumberOfSetBits(PVOID map);
RTL(ULONG) RtlNumberOfClearBitsInRange(PVOID map, ULONG begin, ULONG count);
RTL(ULONG) RtlNumberOfSetBitsInRange(PVOID map, ULONG begin, ULONG count);
RTL(ULONG) RtlNumberOfSetBitsUlongPtr(ULONG_PTR word);
RTL(signed char) RtlFindLeastSignificantBit(ULONG64 word);
RTL(signed char) RtlFindMostSignificantBit(ULONG64 word);
RTL(ULONG) RtlCrc32(const void *memory, ULONG64 length, ULONG before);
RTL(ULONG64) RtlGetEnabledExtendedFeatures(ULONG64 mask);
RTL(USHORT) RtlUshortByteSwap(USHORT value);
RTL(ULONG) RtlUlongByteSwap(ULONG value);
RTL(ULONG64) RtlUlonglongByteSwap(ULONG64 value);
RTL(void) RtlSecondsSince1970ToTime(ULONG seconds, LARGE_INTEGER *time);
RTL(void) RtlSecondsSince1980ToTime(ULONG seconds, LARGE_INTEGER *time);
RTL(BOOLEAN) RtlIsNtDdiVersionAvailable(ULONG version);
RTL(BOOLEAN) RtlIsServicePackVersionInstalled(ULONG version);
RTL(ULONG64) VerSetConditionMask(ULONG64 mask, ULONG kinds, UCHAR condition);
RTL(PVOID) RtlImageNtHeader(PVOID base);
RTL(PVOID) RtlImageDirectoryEntryToData(PVOID base, BOOLEAN mapped, USHORT entry, ULONG *size);
RTL(PVOID) RtlFindExportedRoutineByName(PVOID base, const char *name);

#define NOT_MAPPED 0x107
#define TOO_SMALL ((NTSTATUS)0xC0000023)
#define INVALID_4 ((NTSTATUS)0xC00000F2)
#define INVALID_5 ((NTSTATUS)0xC00000F3)
#define MISMATCH ((NTSTATUS)0xC0000059)

/* A text must be this, of bytes or of UTF-16. */
static void is(ULONG trial, const void *text, const char *must, ULONG width)
{
	for (ULONG i = 0; i == 0 || must[i - 1]; i++)
		expect_telling(trial, width == 1 ? ((const UCHAR *)text)[i] : ((const WCHAR *)text)[i], (UCHAR)must[i], i);
}

NOINLINE static void addresses(void)
{
	static const UCHAR V4[4] = { 192, 0, 2, 1 }, V6[16] = { 0x20, 1, 0xD, 0xB8, [15] = 1 };
	static const UCHAR MAC[6] = { 2, 0, 0, 0, 0xAB, 0xCD };
	char text[65];
	const char *end;
	WCHAR wide[65];
	const WCHAR *wide_end;
	UCHAR address[16];
	ULONG length = 16, zone;
	USHORT port;

	expect(900, RtlIpv4AddressToStringA(V4, text) - text, 9);
	is(901, text, "192.0.2.1", 1);
	expect(902, RtlIpv4AddressToStringW(V4, wide) - wide, 9);
	is(903, wide, "192.0.2.1", 2);
	expect(904, (ULONG)RtlIpv4AddressToStringExA(V4, 0x5000, text, &length), STATUS_SUCCESS);
	is(905, text, "192.0.2.1:80", 1);
	expect(906, length, 13);
	length = 12;
	expect(907, (ULONG)RtlIpv4AddressToStringExW(V4, 0x5000, wide, &length), (ULONG)STATUS_INVALID_PARAMETER);
	expect(908, length, 13);
	expect(909, (ULONG)RtlIpv4StringToAddressA("192.0.2.1/24", TRUE, &end, address), STATUS_SUCCESS);
	expect(910, *(ULONG *)address == *(const ULONG *)V4 && *end == '/', TRUE);
	expect(911, (ULONG)RtlIpv4StringToAddressA("192.0.2", TRUE, &end, address), (ULONG)STATUS_INVALID_PARAMETER);
	expect(912, (ULONG)RtlIpv4StringToAddressW(L"0xC0.0.513", FALSE, &wide_end, address), STATUS_SUCCESS);
	expect(913, *(ULONG *)address == *(const ULONG *)V4 && *wide_end == 0, TRUE);
	expect(914, (ULONG)RtlIpv4StringToAddressExA("192.0.2.1:80", TRUE, address, &port), STATUS_SUCCESS);
	expect(915, port, 0x5000);
	expect(916, (ULONG)RtlIpv4StringToAddressExW(L"192.0.2.1:", TRUE, address, &port),
	       (ULONG)STATUS_INVALID_PARAMETER);
	expect(917, RtlIpv6AddressToStringA(V6, text) - text, 11);
	is(918, text, "2001:db8::1", 1);
	expect(919, RtlIpv6AddressToStringW(V6, wide) - wide, 11);
	length = 65;
	expect(920, (ULONG)RtlIpv6AddressToStringExA(V6, 7, 0x5000, text, &length), STATUS_SUCCESS);
	is(921, text, "[2001:db8::1%7]:80", 1);
	length = 65;
	expect(922, (ULONG)RtlIpv6AddressToStringExW(V6, 0, 0, wide, &length), STATUS_SUCCESS);
	is(923, wide, "2001:db8::1", 2);
	expect(924, (ULONG)RtlIpv6StringToAddressA("2001:DB8::1%3", &end, address), STATUS_SUCCESS);
	expect(925, *end == '%' && address[15] == 1 && address[1] == 1, TRUE);
	expect(926, (ULONG)RtlIpv6StringToAddressW(L"1::2::3", &wide_end, address), (ULONG)STATUS_INVALID_PARAMETER);
	expect(927, (ULONG)RtlIpv6StringToAddressExA("[::1%9]:80", address, &zone, &port), STATUS_SUCCESS);
	expect(928, zone == 9 && port == 0x5000, TRUE);
	expect(929, (ULONG)RtlIpv6StringToAddressExW(L"[::1", address, &zone, &port), (ULONG)STATUS_INVALID_PARAMETER);
	expect(930, RtlEthernetAddressToStringA(MAC, text) - text, 17);
	is(931, text, "02-00-00-00-AB-CD", 1);
	expect(932, RtlEthernetAddressToStringW(MAC, wide) - wide, 17);
	expect(933, (ULONG)RtlEthernetStringToAddressA(text, &end, address), STATUS_SUCCESS);
	expect(934, address[5] == 0xCD && *end == 0, TRUE);
	expect(935, (ULONG)RtlEthernetStringToAddressW(L"02-00-", &wide_end, address), (ULONG)STATUS_INVALID_PARAMETER);
}

NOINLINE static void encodings(void)
{
	static const UCHAR SNOW[] = { 'a', 0xE2, 0x98, 0x83, 0xFF };
	static const WCHAR PAIR[] = { 0xD83D, 0xDE00, 0xD800 };
	UCHAR bytes[16];
	WCHAR wide[16];
	ULONG actual;

	expect(940, (ULONG)RtlUTF8ToUnicodeN(wide, sizeof(wide), &actual, (void *)SNOW, 5), NOT_MAPPED);
	expect(941, actual == 6 && wide[1] == 0x2603 && wide[2] == 0xFFFD, TRUE);
	expect(942, (ULONG)RtlUTF8ToUnicodeN(NULL, 0, &actual, (void *)SNOW, 4), STATUS_SUCCESS);
	expect(943, actual, 4);
	expect(944, (ULONG)RtlUTF8ToUnicodeN(wide, 3, &actual, (void *)SNOW, 4), (ULONG)TOO_SMALL);
	expect(945, actual, 2);
	expect(946, (ULONG)RtlUTF8ToUnicodeN(NULL, 0, NULL, (void *)SNOW, 4), (ULONG)STATUS_INVALID_PARAMETER);
	expect(947, (ULONG)RtlUTF8ToUnicodeN(wide, 4, &actual, NULL, 4), (ULONG)INVALID_4);
	expect(948, (ULONG)RtlUnicodeToUTF8N((void *)bytes, 16, &actual, PAIR, 6), NOT_MAPPED);
	expect(949, actual == 7 && bytes[0] == 0xF0 && bytes[4] == 0xEF, TRUE);
	expect(950, (ULONG)RtlUnicodeToUTF8N((void *)bytes, 16, &actual, PAIR, 3), (ULONG)INVALID_5);
	expect(951, (ULONG)RtlMultiByteToUnicodeN(wide, 5, &actual, (void *)"abc", 3), STATUS_SUCCESS);
	expect(952, actual == 4 && wide[1] == 'b', TRUE);
	expect(953, (ULONG)RtlMultiByteToUnicodeSize(&actual, "abc", 3), STATUS_SUCCESS);
	expect(954, actual, 6);
	expect(955, (ULONG)RtlUnicodeToMultiByteN(bytes, 2, NULL, L"xyz", 6), STATUS_SUCCESS);
	expect(956, bytes[1], 'y');
	expect(957, (ULONG)RtlUnicodeToMultiByteSize(&actual, L"xyz", 6), STATUS_SUCCESS);
	expect(958, actual, 3);
	expect(959, (ULONG)RtlUpcaseUnicodeToMultiByteN(bytes, 3, &actual, L"xyz", 6), STATUS_SUCCESS);
	expect(960, bytes[2], 'Z');
	expect(961, (ULONG)RtlOemToUnicodeN(wide, 6, &actual, "oem", 3), STATUS_SUCCESS);
	expect(962, (ULONG)RtlUnicodeToOemN(bytes, 3, &actual, wide, 6), STATUS_SUCCESS);
	expect(963, bytes[0], 'o');
	expect(964, (ULONG)RtlUpcaseUnicodeToOemN(bytes, 3, &actual, wide, 6), STATUS_SUCCESS);
	expect(965, bytes[0], 'O');
}

NOINLINE static void strings(void)
{
	UNICODE_STRING wide = { 0 }, name, pattern;
	STRING bytes = { 0 }, source;
	UCHAR room[4];
	ULONG value;

	RtlInitUTF8String(&source, (void *)"caf\xC3\xA9");
	expect(970, (ULONG)RtlInitUTF8StringEx(&source, (void *)"caf\xC3\xA9"), STATUS_SUCCESS);
	if (RtlUTF8StringToUnicodeString(&wide, &source, TRUE) == STATUS_SUCCESS) {
		expect(971, wide.Length == 8 && wide.Buffer[3] == 0xE9, TRUE);
		expect(972, RtlxUnicodeStringToAnsiSize(&wide), 5);
		expect(973, RtlxUnicodeStringToOemSize(&wide), 5);
		if (RtlUnicodeStringToUTF8String(&bytes, &wide, TRUE) == STATUS_SUCCESS) {
			expect(974, RtlEqualString(&bytes, &source, FALSE), TRUE);
			RtlFreeUTF8String(&bytes);
		}
		if (RtlUpcaseUnicodeStringToOemString(&bytes, &wide, TRUE) == STATUS_SUCCESS) {
			expect(975, bytes.Length == 4 && (UCHAR)bytes.Buffer[3] == 0xC9, TRUE);
			RtlFreeOemString(&bytes);
		}
		if (RtlUnicodeStringToOemString(&bytes, &wide, TRUE) == STATUS_SUCCESS) {
			expect(976, RtlxOemStringToUnicodeSize(&bytes), 10);
			RtlFreeUnicodeString(&wide);
			if (RtlOemStringToUnicodeString(&wide, &bytes, TRUE) == STATUS_SUCCESS)
				expect(977, wide.Buffer[0], 'c');
			RtlFreeOemString(&bytes);
		}
		RtlFreeUnicodeString(&wide);
	}
	expect(978, RtlxAnsiStringToUnicodeSize(&source), 12);
	expect(979, RtlUpperChar('q'), 'Q');
	bytes.Buffer = (void *)room;
	bytes.MaximumLength = 3;
	RtlUpperString(&bytes, &source);
	expect(980, bytes.Length == 3 && room[2] == 'F', TRUE);
	expect(981, (ULONG)RtlCharToInteger(" 0x1Fz", 0, &value), STATUS_SUCCESS);
	expect(982, value, 31);
	expect(983, (ULONG)RtlCharToInteger("-12", 10, &value), STATUS_SUCCESS);
	expect(984, value, (ULONG)-12);
	expect(985, (ULONG)RtlCharToInteger("12", 7, &value), (ULONG)STATUS_INVALID_PARAMETER);
	RtlInitUnicodeString(&pattern, L"*.SYS");
	RtlInitUnicodeString(&name, L"filter.sys");
	expect(986, FsRtlIsNameInExpression(&pattern, &name, TRUE, NULL), TRUE);
	expect(987, RtlIsNameInExpression(&pattern, &name, FALSE, NULL), FALSE);
	expect(988, FsRtlDoesNameContainWildCards(&pattern) && !FsRtlDoesNameContainWildCards(&name), TRUE);
	expect(989, (ULONG)RtlValidateUnicodeString(0, &name), STATUS_SUCCESS);
	name.Length = 3;
	expect(990, (ULONG)RtlValidateUnicodeString(0, &name), (ULONG)STATUS_INVALID_PARAMETER);
	expect(991, (ULONG)RtlValidateUnicodeString(1, &pattern), (ULONG)STATUS_INVALID_PARAMETER);
}

NOINLINE static void bitmaps(void)
{
	RTL_BITMAP map;
	ULONG words[2] = { 0x12345678, 0x9ABCDEF0 }, runs[6], begin;

	RtlInitializeBitMap(&map, words, 48);
	expect(1000, RtlNumberOfSetBits(&map), 13 + 10);
	RtlClearAllBits(&map);
	RtlSetBit(&map, 47);
	RtlSetBits(&map, 30, 4);
	expect(1001, words[0] == 0xC0000000 && words[1] == 0x8003, TRUE);
	expect(1002, RtlTestBit(&map, 33) && !RtlTestBit(&map, 34), TRUE);
	RtlClearBit(&map, 33);
	expect(1003, RtlAreBitsSet(&map, 30, 3) && !RtlAreBitsSet(&map, 30, 4), TRUE);
	expect(1004, RtlAreBitsClear(&map, 33, 14) && !RtlAreBitsClear(&map, 33, 15), TRUE);
	expect(1005, RtlAreBitsClear(&map, 0, 0) || RtlAreBitsSet(&map, 47, 2), FALSE);
	expect(1006, RtlFindClearBits(&map, 20, 0), 0);
	expect(1007, RtlFindClearBits(&map, 14, 20), 33);
	expect(1008, RtlFindClearBits(&map, 31, 0), 0xFFFFFFFF);
	expect(1009, RtlFindSetBits(&map, 3, 40), 30);
	expect(1010, RtlFindClearBitsAndSet(&map, 2, 33), 33);
	expect(1011, RtlFindSetBitsAndClear(&map, 5, 0), 30);
	expect(1012, RtlFindFirstRunClear(&map, &begin), 47);
	RtlSetBits(&map, 10, 2);
	expect(1013, RtlFindFirstRunClear(&map, &begin) == 10 && begin == 0, TRUE);
	expect(1014, RtlFindLongestRunClear(&map, &begin) == 35 && begin == 12, TRUE);
	expect(1015, RtlFindNextForwardRunClear(&map, 4, &begin) == 6 && begin == 4, TRUE);
	expect(1016, RtlFindLastBackwardRunClear(&map, 20, &begin) == 9 && begin == 12, TRUE);
	expect(1017, RtlFindClearRuns(&map, runs, 3, TRUE), 2);
	expect(1018, runs[0] == 12 && runs[1] == 35 && runs[2] == 0 && runs[3] == 10, TRUE);
	expect(1019, RtlNumberOfClearBits(&map), 45);
	expect(1020, RtlNumberOfSetBitsInRange(&map, 8, 3), 1);
	expect(1021, RtlNumberOfClearBitsInRange(&map, 8, 3), 2);
	RtlSetAllBits(&map);
	RtlClearBits(&map, 0, 33);
	expect(1022, words[0] == 0 && words[1] == 0xFFFFFFFE, TRUE);
	expect(1023, RtlNumberOfSetBitsUlongPtr(0xF0F0), 8);
	expect(1024, RtlFindLeastSignificantBit(0x100000000) == 32 && RtlFindLeastSignificantBit(0) == -1, TRUE);
	expect(1025, RtlFindMostSignificantBit(0x1FF) == 8 && RtlFindMostSignificantBit(0) == -1, TRUE);
}

NOINLINE static void versions(void)
{
	enum { MINOR = 1, MAJOR = 2, BUILD = 4, AT_LEAST = 3, LESS = 4 };
	static const char DIGITS[] = "123456789";
	static const ULONG PATTERN[3] = { 7, 7, 8 };
	ULONG64 mask = VerSetConditionMask(VerSetConditionMask(0, MAJOR, AT_LEAST), MINOR, AT_LEAST);
	OSVERSIONINFOEXW version = { 0 };
	PVOID callers[4] = { NULL }, again[4];
	LARGE_INTEGER time;
	ULONG hash = 0, seed = 5;
	USHORT count;

	version.dwMajorVersion = 6;
	version.dwMinorVersion = 3;
	expect(1030, (ULONG)RtlVerifyVersionInfo(&version, MAJOR | MINOR, mask), STATUS_SUCCESS);
	version.dwMajorVersion = 11;
	expect(1031, (ULONG)RtlVerifyVersionInfo(&version, MAJOR | MINOR, mask), (ULONG)MISMATCH);
	version.dwBuildNumber = 10240;
	mask = VerSetConditionMask(0, BUILD, LESS);
	expect(1032, (ULONG)RtlVerifyVersionInfo(&version, BUILD, mask), (ULONG)MISMATCH);
	expect(1033, (ULONG)RtlVerifyVersionInfo(&version, 0, mask), (ULONG)STATUS_INVALID_PARAMETER);
	expect(1034, RtlIsNtDdiVersionAvailable(0x06010000) && RtlIsNtDdiVersionAvailable(0x0A000000), TRUE);
	expect(1035, RtlIsNtDdiVersionAvailable(0x0B000000) || RtlIsNtDdiVersionAvailable(0x06010100), FALSE);
	expect(1036, RtlIsServicePackVersionInstalled(0x06000200), FALSE);
	expect(1037, RtlNtStatusToDosError(STATUS_ACCESS_DENIED), 5);
	expect(1038, RtlNtStatusToDosErrorNoTeb((NTSTATUS)0xC0DE0001), 317);
	expect(1039, RtlCrc32(DIGITS, 9, 0), 0xCBF43926);
	expect(1040, RtlCompareMemoryUlong((PVOID)PATTERN, 12, 7), 8);
	expect(1041, RtlUshortByteSwap(0x1234), 0x3412);
	expect(1042, RtlUlongByteSwap(0x12345678), 0x78563412);
	expect(1043, RtlUlonglongByteSwap(0x123456789ABCDEF0), 0xF0DEBC9A78563412);
	expect(1044, RtlGetEnabledExtendedFeatures(3), 3);
	RtlSecondsSince1970ToTime(1709211600, &time);
	expect(1045, *(ULONG64 *)&time, 133536852000000000);
	RtlSecondsSince1980ToTime(0, &time);
	expect(1046, *(ULONG64 *)&time, 119600064000000000);
	(void)RtlRandom(&seed);
	count = RtlCaptureStackBackTrace(0, 4, callers, &hash);
	expect(1047, count >= 2 && callers[0] > (PVOID)versions && hash != 0, TRUE);
	expect(1048, RtlCaptureStackBackTrace(1, 1, again, NULL) == 1 && again[0] == callers[1], TRUE);
	expect(1049, RtlWalkFrameChain(again, 4, 0), count);
	expect(1050, RtlWalkFrameChain(again, 4, 1), 0);
}

/* Where the linker says that the driver is. */
extern UCHAR __ImageBase;

/* Of the driver itself: it has tables for exceptions and exports nothing. */
NOINLINE static void image(void)
{
	enum { EXCEPTIONS = 3 };
	UCHAR *base = &__ImageBase, *table;
	ULONG size = 7;

	expect(1051, *(ULONG *)RtlImageNtHeader(base), 0x4550);
	expect(1052, (ULONG64)RtlImageNtHeader(NULL), 0);
	table = RtlImageDirectoryEntryToData(base, TRUE, EXCEPTIONS, &size);
	expect(1053, table > base && size > 0 && size % 12 == 0, TRUE);
	expect(1054, (ULONG64)RtlImageDirectoryEntryToData(base, TRUE, 99, &size), 0);
	expect(1055, size, 0);
	expect(1056, (ULONG64)RtlFindExportedRoutineByName(base, "DriverEntry"), 0);
}

/* Runs all trials. */
void runtime(void)
{
	addresses();
	encodings();
	strings();
	bitmaps();
	versions();
	image();
	tables();
}
