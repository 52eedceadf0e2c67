/*
 * Text, numbers, formats and sorting of the kernel's C run time: tried against what the pages of the functions say. The
 * driver stops the system where one differs.
 */
#include "filter.h"

#define CRT(result) __declspec(dllimport) result

typedef ULONG64 size_t;

CRT(size_t) strnlen(const char *, size_t);
CRT(size_t) wcsnlen(const WCHAR *, size_t);
CRT(char *) strcpy(char *, const char *);
CRT(WCHAR *) wcscpy(WCHAR *, const WCHAR *);
CRT(char *) strncpy(char *, const char *, size_t);
CRT(WCHAR *) wcsncpy(WCHAR *, const WCHAR *, size_t);
CRT(char *) strcat(char *, const char *);
CRT(WCHAR *) wcscat(WCHAR *, const WCHAR *);
CRT(char *) strncat(char *, const char *, size_t);
CRT(WCHAR *) wcsncat(WCHAR *, const WCHAR *, size_t);
CRT(int) wcscmp(const WCHAR *, const WCHAR *);
CRT(int) strncmp(const char *, const char *, size_t);
CRT(int) wcsncmp(const WCHAR *, const WCHAR *, size_t);
CRT(int) _stricmp(const char *, const char *);
CRT(int) _wcsicmp(const WCHAR *, const WCHAR *);
CRT(int) _strnicmp(const char *, const char *, size_t);
CRT(int) _wcsnicmp(const WCHAR *, const WCHAR *, size_t);
CRT(char *) strchr(const char *, int);
CRT(WCHAR *) wcschr(const WCHAR *, WCHAR);
CRT(char *) strrchr(const char *, int);
CRT(WCHAR *) wcsrchr(const WCHAR *, WCHAR);
CRT(char *) strstr(const char *, const char *);
CRT(WCHAR *) wcsstr(const WCHAR *, const WCHAR *);
CRT(size_t) strspn(const char *, const char *);
CRT(size_t) wcsspn(const WCHAR *, const WCHAR *);
CRT(size_t) wcscspn(const WCHAR *, const WCHAR *);
CRT(char *) _strlwr(char *);
CRT(WCHAR *) _wcslwr(WCHAR *);
CRT(char *) _strupr(char *);
CRT(WCHAR *) _wcsupr(WCHAR *);
CRT(char *) _strrev(char *);
CRT(WCHAR *) _wcsrev(WCHAR *);
CRT(char *) _strset(char *, int);
CRT(char *) _strnset(char *, int, size_t);
CRT(WCHAR *) _wcsnset(WCHAR *, WCHAR, size_t);
CRT(int) rand(void);
CRT(void) srand(ULONG);
CRT(int) strcpy_s(char *, size_t, const char *);
CRT(int) wcscpy_s(WCHAR *, size_t, const WCHAR *);
CRT(int) strncpy_s(char *, size_t, const char *, size_t);
CRT(int) wcsncpy_s(WCHAR *, size_t, const WCHAR *, size_t);
CRT(int) strcat_s(char *, size_t, const char *);
CRT(int) wcscat_s(WCHAR *, size_t, const WCHAR *);
CRT(int) strncat_s(char *, size_t, const char *, size_t);
CRT(int) wcsncat_s(WCHAR *, size_t, const WCHAR *, size_t);
CRT(int) _wcslwr_s(WCHAR *, size_t);
CRT(char *) strtok_s(char *, const char *, char **);
CRT(size_t) mbstowcs(WCHAR *, const char *, size_t);
CRT(size_t) wcstombs(char *, const WCHAR *, size_t);
CRT(int) mbtowc(WCHAR *, const char *, size_t);
CRT(int) wctomb(char *, WCHAR);
CRT(PVOID) memchr(const void *, int, size_t);
CRT(int) memcpy_s(PVOID, size_t, const void *, size_t);
CRT(int) memmove_s(PVOID, size_t, const void *, size_t);
CRT(int) isalnum(int);
CRT(int) isalpha(int);
CRT(int) isdigit(int);
CRT(int) islower(int);
CRT(int) isprint(int);
CRT(int) isspace(int);
CRT(int) isupper(int);
CRT(int) isxdigit(int);
CRT(int) iswalnum(int);
CRT(int) iswalpha(int);
CRT(int) iswdigit(int);
CRT(int) iswspace(int);
CRT(int) iswxdigit(int);
CRT(int) tolower(int);
CRT(int) toupper(int);
CRT(WCHAR) towlower(WCHAR);
CRT(WCHAR) towupper(WCHAR);
CRT(LONG) strtol(const char *, char **, int);
CRT(LONG) wcstol(const WCHAR *, WCHAR **, int);
CRT(ULONG) strtoul(const char *, char **, int);
CRT(ULONG) wcstoul(const WCHAR *, WCHAR **, int);
CRT(ULONG64) _strtoui64(const char *, char **, int);
CRT(int) atoi(const char *);
CRT(LONG) atol(const char *);
CRT(LONGLONG) _atoi64(const char *);
CRT(int) _wtoi(const WCHAR *);
CRT(LONG) _wtol(const WCHAR *);
CRT(char *) _itoa(int, char *, int);
CRT(WCHAR *) _itow(int, WCHAR *, int);
CRT(char *) _ltoa(LONG, char *, int);
CRT(WCHAR *) _ltow(LONG, WCHAR *, int);
CRT(char *) _ultoa(ULONG, char *, int);
CRT(WCHAR *) _ultow(ULONG, WCHAR *, int);
CRT(char *) _i64toa(LONGLONG, char *, int);
CRT(WCHAR *) _i64tow(LONGLONG, WCHAR *, int);
CRT(char *) _ui64toa(ULONG64, char *, int);
CRT(WCHAR *) _ui64tow(ULONG64, WCHAR *, int);
CRT(int) _itoa_s(int, char *, size_t, int);
CRT(int) _itow_s(int, WCHAR *, size_t, int);
CRT(int) _ltoa_s(LONG, char *, size_t, int);
CRT(int) _ltow_s(LONG, WCHAR *, size_t, int);
CRT(int) _ultoa_s(ULONG, char *, size_t, int);
CRT(int) _ultow_s(ULONG, WCHAR *, size_t, int);
CRT(int) _i64toa_s(LONGLONG, char *, size_t, int);
CRT(int) _i64tow_s(LONGLONG, WCHAR *, size_t, int);
CRT(int) _ui64toa_s(ULONG64, char *, size_t, int);
CRT(int) _ui64tow_s(ULONG64, WCHAR *, size_t, int);
CRT(int) sprintf(char *, const char *, ...);
CRT(int) swprintf(WCHAR *, const WCHAR *, ...);
CRT(int) vsprintf(char *, const char *, __builtin_va_list);
CRT(int) sprintf_s(char *, size_t, const char *, ...);
CRT(int) swprintf_s(WCHAR *, size_t, const WCHAR *, ...);
CRT(int) vsprintf_s(char *, size_t, const char *, __builtin_va_list);
CRT(int) vswprintf_s(WCHAR *, size_t, const WCHAR *, __builtin_va_list);
CRT(int) _snprintf(char *, size_t, const char *, ...);
CRT(int) _snwprintf(WCHAR *, size_t, const WCHAR *, ...);
CRT(int) _vsnprintf(char *, size_t, const char *, __builtin_va_list);
CRT(int) _vsnwprintf(WCHAR *, size_t, const WCHAR *, __builtin_va_list);
CRT(int) _snprintf_s(char *, size_t, size_t, const char *, ...);
CRT(int) _snwprintf_s(WCHAR *, size_t, size_t, const WCHAR *, ...);
CRT(int) _vsnprintf_s(char *, size_t, size_t, const char *, __builtin_va_list);
CRT(int) _vsnwprintf_s(WCHAR *, size_t, size_t, const WCHAR *, __builtin_va_list);
CRT(void) qsort(PVOID, size_t, size_t, int (*)(const void *, const void *));
CRT(void) qsort_s(PVOID, size_t, size_t, int (*)(PVOID, const void *, const void *), PVOID);
CRT(PVOID) bsearch(const void *, const void *, size_t, size_t, int (*)(const void *, const void *));
CRT(PVOID) bsearch_s(const void *, const void *, size_t, size_t, int (*)(PVOID, const void *, const void *), PVOID);

CRT(int) sscanf_s(const char *, const char *, ...);
CRT(int) swscanf_s(const WCHAR *, const WCHAR *, ...);
CRT(int) _snscanf_s(const char *, size_t, const char *, ...);
CRT(int) _snwscanf_s(const WCHAR *, size_t, const WCHAR *, ...);

enum { EINVAL = 22, ERANGE = 34, STRUNCATE = 80 };
#define TRUNCATE ((size_t)-1)

/* A text must be this. */
static void is(ULONG trial, const char *text, const char *must)
{
	ULONG i = 0;

	do
		expect_telling(trial, (UCHAR)text[i], (UCHAR)must[i], i);
	while (must[i++]);
}

static void is_wide(ULONG trial, const WCHAR *text, const WCHAR *must)
{
	ULONG i = 0;

	do
		expect_telling(trial, text[i], must[i], i);
	while (must[i++]);
}

NOINLINE static void unchecked(void)
{
	char text[16];
	WCHAR wide[16];

	is(600, strcpy(text, "filter"), "filter");
	is(601, strcat(text, "-"), "filter-");
	is(602, strncat(text, "driver", 3), "filter-dri");
	expect(603, strlen((const signed char *)text), 10);
	expect(604, strnlen(text, 4), 4);
	strncpy(text, "ab", 5);
	expect(605, text[2] == 0 && text[4] == 0 && text[5] == 'r', TRUE);
	is_wide(606, wcscpy(wide, L"filter"), L"filter");
	is_wide(607, wcscat(wide, L"-"), L"filter-");
	is_wide(608, wcsncat(wide, L"driver", 3), L"filter-dri");
	expect(609, wcslen(wide), 10);
	expect(610, wcsnlen(wide, 20), 10);
	is_wide(611, wcsncpy(wide, L"abc", 2) + 2, L"lter-dri");
	expect(612, strcmp((const signed char *)"b", (const signed char *)"a") > 0, TRUE);
	expect(643, strcmp((const signed char *)"a", (const signed char *)"a"), 0);
	expect(613, wcscmp(L"b", L"a") > 0 && wcscmp(L"a", L"a") == 0, TRUE);
	expect(614, strncmp("abc", "abd", 2), 0);
	expect(615, wcsncmp(L"abc", L"abd", 3) < 0, TRUE);
	expect(616, _stricmp("Filter", "fILTER"), 0);
	expect(617, _wcsicmp(L"Filter", L"fILTER"), 0);
	expect(618, _strnicmp("FILter", "filTOR", 4), 0);
	expect(619, _wcsnicmp(L"FILter", L"filTOR", 5) < 0, TRUE);
	strcpy(text, "a/b/c");
	expect(620, strchr(text, '/') - text, 1);
	expect(621, strrchr(text, '/') - text, 3);
	expect(622, strchr(text, 0) - text, 5);
	expect(623, (ULONG64)strchr(text, 'x'), 0);
	expect(624, strstr(text, "b/c") - text, 2);
	expect(625, (ULONG64)strstr(text, "b/d"), 0);
	expect(626, strstr(text, "") - text, 0);
	wcscpy(wide, L"a/b/c");
	expect(627, wcschr(wide, L'/') - wide, 1);
	expect(628, wcsrchr(wide, L'/') - wide, 3);
	expect(629, wcsstr(wide, L"/c") - wide, 3);
	expect(630, strspn("abcx", "cba"), 3);
	expect(631, wcsspn(L"abcx", L"cba"), 3);
	expect(632, wcscspn(L"abcx", L"x"), 3);
	is(633, _strupr(text), "A/B/C");
	is(634, _strlwr(text), "a/b/c");
	is(635, _strrev(text), "c/b/a");
	is_wide(636, _wcsupr(wide), L"A/B/C");
	is_wide(637, _wcslwr(wide), L"a/b/c");
	is_wide(638, _wcsrev(wide), L"c/b/a");
	is(639, _strnset(text, '-', 3), "---/a");
	is(640, _strset(text, '+'), "+++++");
	is_wide(641, _wcsnset(wide, L'-', 9), L"-----");
	expect(642, (const char *)memchr("abc", 'c', 3) != NULL && !memchr("abc", 'c', 2), TRUE);
}

NOINLINE static void checked(void)
{
	char text[8] = "before", *next = NULL;
	WCHAR wide[8];
	char list[] = ",one,,two";

	expect(650, strcpy_s(text, sizeof(text), "0123456"), 0);
	expect(651, strcpy_s(text, sizeof(text), "01234567"), ERANGE);
	is(652, text, "");
	expect(653, strcpy_s(text, 0, "a"), EINVAL);
	expect(654, strcpy_s(NULL, 1, "a"), EINVAL);
	expect(655, strcpy_s(text, sizeof(text), NULL), EINVAL);
	expect(656, strncpy_s(text, 4, "012345", 3), 0);
	is(657, text, "012");
	expect(658, strncpy_s(text, 4, "012345", 4), ERANGE);
	expect(659, strncpy_s(text, 4, "012345", TRUNCATE), STRUNCATE);
	is(660, text, "012");
	expect(661, strcat_s(text, sizeof(text), "3456"), 0);
	expect(662, strcat_s(text, 7, "x"), EINVAL);
	strcpy(text, "abc");
	expect(663, strncat_s(text, 6, "defg", 2), 0);
	is(664, text, "abcde");
	expect(665, strcat_s(text, 6, "f"), ERANGE);
	expect(666, wcscpy_s(wide, 8, L"0123456"), 0);
	expect(667, wcscat_s(wide, 8, L"7"), ERANGE);
	expect(668, wcsncpy_s(wide, 8, L"ABCDEFGHIJ", TRUNCATE), STRUNCATE);
	expect(669, wcsncat_s(wide, 8, L"H", 0), 0);
	expect(670, _wcslwr_s(wide, 8), 0);
	is_wide(671, wide, L"abcdefg");
	expect(672, _wcslwr_s(wide, 7), EINVAL);
	is(673, strtok_s(list, ",", &next), "one");
	is(674, strtok_s(NULL, ",", &next), "two");
	expect(675, (ULONG64)strtok_s(NULL, ",", &next), 0);
	expect(676, mbstowcs(wide, "wide", 8), 4);
	is_wide(677, wide, L"wide");
	expect(678, wcstombs(text, wide, 8), 4);
	is(679, text, "wide");
	wide[1] = 0x2603;
	expect(680, wcstombs(text, wide, 8), (ULONG64)-1);
	expect(681, wcstombs(NULL, L"count", 0), 5);
	expect(682, mbtowc(wide, "x", 1) == 1 && wide[0] == L'x', TRUE);
	expect(683, wctomb(text, L'y') == 1 && text[0] == 'y', TRUE);
	expect(684, wctomb(text, 0x2603) == -1, TRUE);
	expect(685, memcpy_s(text, 4, "abcd", 4), 0);
	expect(686, memcpy_s(text, 4, "abcde", 5), ERANGE);
	expect(687, text[3], 0);
	expect(688, memmove_s(text, 4, NULL, 1), EINVAL);
	expect(689, memmove_s(NULL, 0, NULL, 0), 0);
}

NOINLINE static void classes(void)
{
	expect(700, isalnum('7') && isalpha('x') && isdigit('0') && islower('a') && isupper('Z'), TRUE);
	expect(701, isprint(' ') && isspace('\t') && isxdigit('f'), TRUE);
	expect(702, isalnum('-') || isalpha('7') || isdigit('a') || islower('A') || isupper('z'), FALSE);
	expect(703, isprint('\n') || isspace('x') || isxdigit('g') || isalpha(-1) || isalpha(0x161), FALSE);
	expect(704, iswalnum('7') && iswalpha('x') && iswdigit('0') && iswspace(' ') && iswxdigit('F'), TRUE);
	expect(705, tolower('Q') == 'q' && toupper('q') == 'Q' && tolower('7') == '7', TRUE);
	expect(706, towlower('Q') == 'q' && towupper('q') == 'Q', TRUE);
}

NOINLINE static void numbers(void)
{
	char text[72], *end;
	WCHAR wide[72], *wide_end;

	expect(710, strtol(" -42x", &end, 10), (ULONG64)-42);
	is(711, end, "x");
	expect(712, strtol("0x7fFFffFFf", NULL, 0), 0x7FFFFFFF);
	expect(713, strtoul("0x7fFFffFF", NULL, 16), 0x7FFFFFFF);
	expect(714, strtoul("99999999999", NULL, 10), 0xFFFFFFFF);
	expect(715, strtol("12", &end, 1), 0);
	is(716, end, "12");
	expect(717, wcstol(L"-7", &wide_end, 0) == -7 && *wide_end == 0, TRUE);
	expect(718, wcstoul(L"077", NULL, 0), 63);
	expect(719, _strtoui64("0xFFFFFFFFFF", NULL, 0), 0xFFFFFFFFFF);
	expect(720, atoi("12ab"), 12);
	expect(721, atol("-3") == -3, TRUE);
	expect(722, _atoi64("-9000000000") == -9000000000, TRUE);
	expect(723, _wtoi(L"12") + _wtol(L"30"), 42);
	is(724, _itoa(-255, text, 10), "-255");
	is(725, _itoa(-1, text, 16), "ffffffff");
	is_wide(726, _itow(255, wide, 2), L"11111111");
	is(727, _ltoa(-1, text, 10), "-1");
	is_wide(728, _ltow(35, wide, 36), L"z");
	is(729, _ultoa(0xFFFFFFFF, text, 10), "4294967295");
	is_wide(730, _ultow(0, wide, 10), L"0");
	is(731, _i64toa(-1, text, 16), "ffffffffffffffff");
	is_wide(732, _i64tow(-5000000000, wide, 10), L"-5000000000");
	is(733, _ui64toa((ULONG64)-1, text, 2) + 60, "1111");
	is_wide(734, _ui64tow(5000000000, wide, 10), L"5000000000");
	is(735, _itoa(7, text, 1), "");
	expect(736, _itoa_s(12345, text, 6, 10), 0);
	is(737, text, "12345");
	expect(738, _itoa_s(123456, text, 6, 10), ERANGE);
	is(739, text, "");
	expect(740, _itoa_s(1, text, 6, 1), EINVAL);
	expect(741, _itoa_s(1, NULL, 6, 10), EINVAL);
	expect(742, _itow_s(-1, wide, 3, 10), 0);
	expect(743, _ltoa_s(1, text, 2, 10), 0);
	expect(744, _ltow_s(1, wide, 1, 10), ERANGE);
	expect(745, _ultoa_s(16, text, 3, 16), 0);
	is(746, text, "10");
	expect(747, _ultow_s(16, wide, 3, 37), EINVAL);
	expect(748, _i64toa_s(-5000000000, text, 12, 10), 0);
	expect(749, _i64tow_s(-5000000000, wide, 11, 10), ERANGE);
	expect(750, _ui64toa_s(5, text, 2, 10), 0);
	expect(751, _ui64tow_s(5, wide, 2, 10), 0);
	is_wide(752, wide, L"5");
	srand(1);
	expect(753, rand(), 41);
	expect(754, rand(), 18467);
}

static int list_of(int (*print)(char *, size_t, const char *, __builtin_va_list), char *text, size_t room,
		   const char *format, ...)
{
	__builtin_va_list list;
	int length;

	__builtin_va_start(list, format);
	length = print ? print(text, room, format, list) : vsprintf(text, format, list);
	__builtin_va_end(list);
	return length;
}

static int wide_list_of(int (*print)(WCHAR *, size_t, const WCHAR *, __builtin_va_list), WCHAR *text, size_t room,
			const WCHAR *format, ...)
{
	__builtin_va_list list;
	int length;

	__builtin_va_start(list, format);
	length = print(text, room, format, list);
	__builtin_va_end(list);
	return length;
}

static int narrow_counted(char *text, size_t room, const char *format, __builtin_va_list list)
{
	return _vsnprintf_s(text, room, TRUNCATE, format, list);
}

static int wide_counted(WCHAR *text, size_t room, const WCHAR *format, __builtin_va_list list)
{
	return _vsnwprintf_s(text, room, 2, format, list);
}

NOINLINE static void formats(void)
{
	UNICODE_STRING name;
	char text[64] = "";
	WCHAR wide[64];

	expect(760, sprintf(text, "%s:%04x %-3d|%5.2d|%c", "id", 0xABC, 7, 3, 'z'), 19);
	is(761, text, "id:0abc 7  |   03|z");
	RtlInitUnicodeString(&name, L"Net");
	sprintf(text, "%wZ %ws %S %I64d %p", &name, L"w", L"S", -1LL, (PVOID)0x10);
	is(762, text, "Net w S -1 0000000000000010");
	expect(763, swprintf(wide, L"%s %S %hs %u", L"wide", "narrow", "h", 5), 15);
	is_wide(764, wide, L"wide narrow h 5");
	/* %n writes nothing. */
	expect(765, sprintf(text, "ab%nc", (int *)8), 3);
	text[4] = '#';
	expect(766, _snprintf(text, 4, "%d", 1234), 4);
	expect(767, text[3] == '4' && text[4] == '#', TRUE);
	expect(768, _snprintf(text, 4, "%d", 12345) == -1, TRUE);
	expect(769, _snprintf(text, 5, "%d", 1234), 4);
	expect(770, text[4], 0);
	expect(771, _snprintf(NULL, 0, "%d", 12345), 5);
	expect(772, _snwprintf(wide, 3, L"%d", 123), 3);
	expect(773, sprintf_s(text, 5, "%d", 1234), 4);
	expect(774, sprintf_s(text, 4, "%d", 1234) == -1 && text[0] == 0, TRUE);
	expect(775, swprintf_s(wide, 5, L"%d", 1234), 4);
	expect(776, _snprintf_s(text, 8, 3, "%d", 12345) == -1, TRUE);
	is(777, text, "123");
	expect(778, _snprintf_s(text, 3, TRUNCATE, "%d", 12345) == -1, TRUE);
	is(779, text, "12");
	expect(780, _snprintf_s(text, 3, 4, "%d", 12345) == -1 && text[0] == 0, TRUE);
	expect(781, _snwprintf_s(wide, 8, 8, L"%d", 12345), 5);
	expect(782, list_of(NULL, text, 0, "%d-%s", 7, "x"), 3);
	expect(783, list_of(vsprintf_s, text, 4, "%d-%s", 7, "y"), 3);
	is(784, text, "7-y");
	expect(785, list_of(_vsnprintf, text, 2, "%d-%s", 7, "z") == -1, TRUE);
	expect(786, list_of(narrow_counted, text, 3, "%d-%s", 7, "z") == -1, TRUE);
	is(787, text, "7-");
	expect(788, wide_list_of(vswprintf_s, wide, 4, L"%d-%s", 7, L"y"), 3);
	expect(789, wide_list_of(_vsnwprintf, wide, 9, L"%d-%s", 7, L"z"), 3);
	expect(790, wide_list_of(wide_counted, wide, 9, L"%d-%s", 7, L"z") == -1, TRUE);
	is_wide(791, wide, L"7-");
	DbgPrint((const signed char *)"%s of %ws: %wZ %d\n", "text", L"trial", &name, 42);
}

static int order(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int order_by(PVOID context, const void *a, const void *b)
{
	++*(ULONG *)context;
	return *(const int *)b - *(const int *)a;
}

NOINLINE static void sorting(void)
{
	int list[9] = { 5, -3, 9, 0, 7, 7, -8, 2, 1 };
	const int sorted[9] = { -8, -3, 0, 1, 2, 5, 7, 7, 9 };
	int key = 5;
	ULONG calls = 0;

	qsort(list, 9, sizeof(int), order);
	for (ULONG i = 0; i < 9; i++)
		expect(800, (ULONG)list[i], (ULONG)sorted[i]);
	expect(801, (int *)bsearch(&key, list, 9, sizeof(int), order) - list, 5);
	key = 6;
	expect(802, (ULONG64)bsearch(&key, list, 9, sizeof(int), order), 0);
	expect(803, (ULONG64)bsearch(&key, list, 0, sizeof(int), order), 0);
	qsort_s(list, 9, sizeof(int), order_by, &calls);
	expect(804, (ULONG)list[0] == 9 && list[8] == -8 && calls > 0, TRUE);
	key = 2;
	expect(805, (int *)bsearch_s(&key, list, 9, sizeof(int), order_by, &calls) - list, 4);
	qsort(NULL, 0, 4, order);
}

NOINLINE static void scanning(void)
{
	char word[8], rest[8];
	WCHAR wide[8];
	int number, other = 0;
	USHORT small[2] = { 0, 7 };
	LONGLONG large;

	expect(810, sscanf_s("-12 0x1F name:rest more", "%d %i %[a-z]:%s", &number, &other, word, 8, rest, 8), 4);
	expect(811, number == -12 && other == 31, TRUE);
	is(812, word, "name");
	is(813, rest, "rest");
	expect(814, sscanf_s("70000 5", "%hu%*d %d", small, &other), 1);
	expect(815, small[0] == 4464 && small[1] == 7 && other == 31, TRUE);
	expect(816, sscanf_s("12345", "%3d%d", &number, &other) == 2 && number == 123 && other == 45, TRUE);
	expect(817, sscanf_s("toolong", "%s", word, 7), 0);
	is(818, word, "");
	expect(819, sscanf_s("ab", "%c%c", word, 1, word + 1, 1) == 2 && word[1] == 'b', TRUE);
	expect(820, sscanf_s("", "%d", &number) == -1 && sscanf_s("x", "%d", &number) == 0, TRUE);
	expect(821, sscanf_s("5%", "%d%%%n", &number, &other) == 1 && other == 2, TRUE);
	large = -1;
	expect(829, sscanf_s("1F", "%p", (PVOID *)&large) == 1 && large == 0x1F, TRUE);
	expect(822, sscanf_s("-9000000000", "%lld", &large) == 1 && large == -9000000000, TRUE);
	expect(823, sscanf_s("]x-z", "%[]x-]", word, 8) == 1 && word[2] == '-', TRUE);
	expect(824, sscanf_s("ab,c", "%[^,]", word, 8) == 1 && word[1] == 'b' && word[2] == 0, TRUE);
	expect(825, swscanf_s(L"7 wide narrow", L"%x %s %hs", &number, wide, 8, word, 8), 3);
	is_wide(826, wide, L"wide");
	is(827, word, "narrow");
	expect(828, _snscanf_s("123456", 3, "%d", &number) == 1 && number == 123, TRUE);
	expect(829, _snwscanf_s(L"123456", 2, L"%d", &number) == 1 && number == 12, TRUE);
	expect(830, sscanf_s("12", "%", &number), 0);
}

/* Runs all trials. */
void text(void)
{
	unchecked();
	checked();
	classes();
	numbers();
	formats();
	sorting();
	scanning();
}
