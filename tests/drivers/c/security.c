/*
 * Security identifiers, lists and descriptors, and who may do what by them: tried against what the pages of their
 * functions say. The driver stops the system where one differs; what fails for want of memory ends a trial.
 */
#include "filter.h"

#define RTL(result) __declspec(dllimport) result

/* Identifiers and lists are bytes to a driver. */
typedef UCHAR SID_BYTES[68];

RTL(NTSTATUS) RtlAllocateAndInitializeSid(const UCHAR *authority, UCHAR count, ULONG s0, ULONG s1, ULONG s2, ULONG s3,
					  ULONG s4, ULONG s5, ULONG s6, ULONG s7, PVOID *sid);
RTL(PVOID) RtlFreeSid(PVOID sid);
RTL(NTSTATUS) RtlInitializeSid(PVOID sid, const UCHAR *authority, UCHAR count);
RTL(ULONG) RtlLengthSid(PVOID sid);
RTL(ULONG) SeLengthSid(PVOID sid);
RTL(ULONG) RtlLengthRequiredSid(ULONG count);
RTL(ULONG *) RtlSubAuthoritySid(PVOID sid, ULONG index);
RTL(UCHAR *) RtlSubAuthorityCountSid(PVOID sid);
RTL(UCHAR *) RtlIdentifierAuthoritySid(PVOID sid);
RTL(NTSTATUS) RtlCopySid(ULONG room, PVOID target, PVOID source);
RTL(BOOLEAN) RtlEqualSid(PVOID a, PVOID b);
RTL(BOOLEAN) RtlEqualPrefixSid(PVOID a, PVOID b);
RTL(BOOLEAN) RtlValidSid(PVOID sid);
RTL(NTSTATUS) RtlCreateAcl(PVOID acl, ULONG length, ULONG revision);
RTL(NTSTATUS) RtlAddAccessAllowedAce(PVOID acl, ULONG revision, ACCESS_MASK mask, PVOID sid);
RTL(NTSTATUS) RtlAddAccessAllowedAceEx(PVOID acl, ULONG revision, ULONG flags, ACCESS_MASK mask, PVOID sid);
RTL(NTSTATUS) RtlAddAccessDeniedAce(PVOID acl, ULONG revision, ACCESS_MASK mask, PVOID sid);
RTL(NTSTATUS) RtlAddAce(PVOID acl, ULONG revision, ULONG index, PVOID list, ULONG length);
RTL(NTSTATUS) RtlGetAce(PVOID acl, ULONG index, PVOID *ace);
RTL(NTSTATUS) RtlDeleteAce(PVOID acl, ULONG index);
RTL(NTSTATUS) RtlSetOwnerSecurityDescriptor(PVOID descriptor, PVOID owner, BOOLEAN defaulted);
RTL(NTSTATUS) RtlSetGroupSecurityDescriptor(PVOID descriptor, PVOID group, BOOLEAN defaulted);
RTL(NTSTATUS) RtlGetOwnerSecurityDescriptor(PVOID descriptor, PVOID *owner, BOOLEAN *defaulted);
RTL(NTSTATUS) RtlGetGroupSecurityDescriptor(PVOID descriptor, PVOID *group, BOOLEAN *defaulted);
RTL(NTSTATUS) RtlGetDaclSecurityDescriptor(PVOID descriptor, BOOLEAN *present, PVOID *acl, BOOLEAN *defaulted);
RTL(NTSTATUS) RtlGetSaclSecurityDescriptor(PVOID descriptor, BOOLEAN *present, PVOID *acl, BOOLEAN *defaulted);
RTL(ULONG) RtlLengthSecurityDescriptor(PVOID descriptor);
RTL(NTSTATUS) RtlSetSaclSecurityDescriptor(PVOID descriptor, BOOLEAN present, PVOID acl, BOOLEAN defaulted);
RTL(NTSTATUS) SeCaptureSecurityDescriptor(PVOID original, KPROCESSOR_MODE mode, ULONG pool, BOOLEAN kernels, PVOID *copy);
RTL(NTSTATUS) SeReleaseSecurityDescriptor(PVOID copy, KPROCESSOR_MODE mode, BOOLEAN kernels);
RTL(BOOLEAN) IoIsWdmVersionAvailable(UCHAR major, UCHAR minor);
RTL(BOOLEAN) RtlValidSecurityDescriptor(PVOID descriptor);
RTL(BOOLEAN) RtlValidRelativeSecurityDescriptor(PVOID descriptor, ULONG length, ULONG wanted);
RTL(BOOLEAN) SeValidSecurityDescriptor(ULONG length, PVOID descriptor);
RTL(NTSTATUS) RtlAbsoluteToSelfRelativeSD(PVOID absolute, PVOID relative, ULONG *length);
RTL(NTSTATUS) RtlSelfRelativeToAbsoluteSD(PVOID relative, PVOID absolute, ULONG *length, PVOID dacl, ULONG *dacl_length,
					  PVOID sacl, ULONG *sacl_length, PVOID owner, ULONG *owner_length, PVOID group,
					  ULONG *group_length);
RTL(NTSTATUS) RtlSelfRelativeToAbsoluteSD2(PVOID descriptor, ULONG *length);
RTL(void) RtlMapGenericMask(ACCESS_MASK *mask, const ULONG *mapping);
RTL(void) SeCaptureSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
RTL(void) SeCaptureSubjectContextEx(PVOID thread, PVOID process, SECURITY_SUBJECT_CONTEXT *context);
RTL(void) SeLockSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
RTL(void) SeUnlockSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
RTL(void) SeReleaseSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
RTL(void) SeFreePrivileges(PVOID privileges);
RTL(BOOLEAN) SePrivilegeCheck(PVOID privileges, SECURITY_SUBJECT_CONTEXT *context, CHAR mode);
RTL(NTSTATUS) ObGetObjectSecurity(PVOID object, PVOID *descriptor, BOOLEAN *allocated);
RTL(void) ObReleaseObjectSecurity(PVOID descriptor, BOOLEAN allocated);
RTL(NTSTATUS) ZwQuerySecurityObject(HANDLE handle, ULONG information, PVOID descriptor, ULONG length, ULONG *needed);
RTL(NTSTATUS) ZwSetSecurityObject(HANDLE handle, ULONG information, PVOID descriptor);
RTL(BOOLEAN) SeTokenIsAdmin(PVOID token);
RTL(BOOLEAN) SeTokenIsRestricted(PVOID token);
RTL(ULONG) SeTokenType(PVOID token);
/* SE_EXPORTS: privileges and pointers, eight bytes each. */
__declspec(dllimport) extern ULONG64 *SeExports;

#define UNKNOWN_REVISION ((NTSTATUS)0xC0000058)
#define INVALID_SID ((NTSTATUS)0xC0000078)
#define INVALID_DESCRIPTOR ((NTSTATUS)0xC0000079)
#define SPACE_EXCEEDED ((NTSTATUS)0xC0000099)
#define REVISION_MISMATCH ((NTSTATUS)0xC0000059)
#define BAD_FORMAT ((NTSTATUS)0xC00000E7)
#define TOO_SMALL ((NTSTATUS)0xC0000023)
#define DENIED ((NTSTATUS)0xC0000022)
#define NOT_HELD ((NTSTATUS)0xC0000061)

enum { READ = 1, WRITE = 2, CONTROL_READ = 0x20000, OWN = 0x80000, AUDIT = 0x1000000, MAXIMUM = 0x2000000, ALL = 0x10000000 };
enum { WORLD = 24, LOCAL_SYSTEM = 33, ADMINISTRATORS = 34, SECURITY_PRIVILEGE = 6 };
enum { FOR_KERNEL, FOR_USER };

static const UCHAR NT[6] = { 0, 0, 0, 0, 0, 5 };
static const ULONG MAPPING[4] = { CONTROL_READ | READ, CONTROL_READ | WRITE, CONTROL_READ, 0x1F0000 | READ | WRITE };

static void same(ULONG trial, const void *a, const void *b, ULONG length)
{
	for (ULONG i = 0; i < length; i++)
		expect(trial, ((const UCHAR *)a)[i], ((const UCHAR *)b)[i]);
}

static void administrators(PVOID sid)
{
	expect(400, (ULONG)RtlInitializeSid(sid, NT, 2), STATUS_SUCCESS);
	*RtlSubAuthoritySid(sid, 0) = 32;
	*RtlSubAuthoritySid(sid, 1) = 544;
}

NOINLINE static void identifiers(void)
{
	SID_BYTES sid = { 0 }, copy = { 0 };
	UNICODE_STRING text = { 0 }, constant;
	WCHAR room[8];
	PVOID made;

	administrators(sid);
	expect(401, RtlLengthSid(sid), 16);
	expect(402, SeLengthSid(sid), 16);
	expect(403, RtlLengthRequiredSid(15), 68);
	expect(404, *RtlSubAuthorityCountSid(sid), 2);
	expect(405, RtlIdentifierAuthoritySid(sid)[5], 5);
	expect(406, (ULONG)RtlCopySid(15, copy, sid), (ULONG)TOO_SMALL);
	expect(407, (ULONG)RtlCopySid(sizeof(copy), copy, sid), STATUS_SUCCESS);
	expect(408, RtlEqualSid(sid, copy), TRUE);
	*RtlSubAuthoritySid(copy, 1) = 545;
	expect(409, RtlEqualSid(sid, copy), FALSE);
	expect(410, RtlEqualPrefixSid(sid, copy), TRUE);
	*RtlSubAuthoritySid(copy, 0) = 33;
	expect(411, RtlEqualPrefixSid(sid, copy), FALSE);
	expect(412, (ULONG)RtlInitializeSid(copy, NT, 16), (ULONG)STATUS_INVALID_PARAMETER);
	expect(413, RtlValidSid(sid), TRUE);
	copy[1] = 16;
	expect(414, RtlValidSid(copy), FALSE);
	expect(415, RtlValidSid(NULL), FALSE);
	expect(416, (ULONG)RtlConvertSidToUnicodeString(&text, (void *)copy, TRUE), (ULONG)INVALID_SID);
	RtlInitUnicodeString(&constant, L"S-1-5-32-544");
	if (RtlConvertSidToUnicodeString(&text, (void *)sid, TRUE) == STATUS_SUCCESS) {
		expect(417, RtlEqualUnicodeString(&text, &constant, FALSE), TRUE);
		RtlFreeUnicodeString(&text);
	}
	text.Buffer = room;
	text.MaximumLength = sizeof(room);
	expect(418, (ULONG)RtlConvertSidToUnicodeString(&text, (void *)sid, FALSE), (ULONG)STATUS_BUFFER_OVERFLOW);
	if (RtlAllocateAndInitializeSid(NT, 2, 32, 544, 0, 0, 0, 0, 0, 0, &made) == STATUS_SUCCESS) {
		expect(419, RtlEqualSid(made, sid), TRUE);
		expect(420, (ULONG64)RtlFreeSid(made), 0);
	}
	expect(421, RtlEqualSid((PVOID)SeExports[ADMINISTRATORS], sid), TRUE);
	expect(422, SeExports[SECURITY_PRIVILEGE], 8);
}

NOINLINE static void entries(void)
{
	UCHAR list[8 + 3 * 24], other[64];
	SID_BYTES sid;
	PVOID ace, first;

	administrators(sid);
	expect(430, (ULONG)RtlCreateAcl(list, 7, 2), (ULONG)TOO_SMALL);
	expect(431, (ULONG)RtlCreateAcl(list, sizeof(list), 5), (ULONG)STATUS_INVALID_PARAMETER);
	expect(432, (ULONG)RtlCreateAcl(list, 0x10000, 2), (ULONG)STATUS_INVALID_PARAMETER);
	expect(433, (ULONG)RtlCreateAcl(list, sizeof(list), 2), STATUS_SUCCESS);
	expect(434, *(USHORT *)(list + 2), sizeof(list));
	expect(435, (ULONG)RtlAddAccessAllowedAce(list, 2, READ, sid), STATUS_SUCCESS);
	expect(436, (ULONG)RtlAddAccessAllowedAceEx(list, 2, 0x20, READ, sid), (ULONG)STATUS_INVALID_PARAMETER);
	expect(437, (ULONG)RtlAddAccessAllowedAceEx(list, 2, 3, READ, sid), STATUS_SUCCESS);
	expect(438, (ULONG)RtlAddAccessDeniedAce(list, 5, READ, sid), (ULONG)REVISION_MISMATCH);
	expect(439, (ULONG)RtlAddAccessDeniedAce(list, 2, WRITE, sid), STATUS_SUCCESS);
	expect(440, (ULONG)RtlAddAccessDeniedAce(list, 2, WRITE, sid), (ULONG)SPACE_EXCEEDED);
	expect(441, *(USHORT *)(list + 4), 3);
	expect(442, (ULONG)RtlGetAce(list, 3, &ace), (ULONG)STATUS_INVALID_PARAMETER);
	expect(443, (ULONG)RtlGetAce(list, 2, &ace), STATUS_SUCCESS);
	expect(444, *(UCHAR *)ace, 1);
	expect(445, *(ULONG *)((UCHAR *)ace + 4), WRITE);
	expect(446, RtlEqualSid((UCHAR *)ace + 8, sid), TRUE);
	/* The last entry becomes the first of another list, and a second is put before it. */
	expect(447, (ULONG)RtlCreateAcl(other, sizeof(other), 2), STATUS_SUCCESS);
	expect(448, (ULONG)RtlAddAce(other, 2, (ULONG)-1, ace, 24), STATUS_SUCCESS);
	expect(449, (ULONG)RtlGetAce(list, 0, &first), STATUS_SUCCESS);
	expect(450, (ULONG)RtlAddAce(other, 2, 0, first, 24), STATUS_SUCCESS);
	expect(451, (ULONG)RtlAddAce(other, 2, 0, first, 24), (ULONG)TOO_SMALL);
	expect(452, (ULONG)RtlAddAce(other, 2, 0, first, 23), (ULONG)STATUS_INVALID_PARAMETER);
	same(453, other + 8, first, 24);
	same(454, other + 32, ace, 24);
	expect(455, (ULONG)RtlDeleteAce(other, 2), (ULONG)STATUS_INVALID_PARAMETER);
	expect(456, (ULONG)RtlDeleteAce(other, 0), STATUS_SUCCESS);
	same(457, other + 8, ace, 24);
	/* What is damaged is refused. */
	sid[0] = 2;
	expect(458, (ULONG)RtlAddAccessAllowedAce(other, 2, READ, sid), (ULONG)INVALID_SID);
	sid[0] = 1;
	*(USHORT *)(other + 10) = 200;
	expect(459, (ULONG)RtlAddAccessAllowedAce(other, 2, READ, sid), (ULONG)STATUS_INVALID_ACL);
	expect(460, (ULONG)RtlGetAce(other, 0, &ace), (ULONG)STATUS_INVALID_PARAMETER);
}

NOINLINE static void descriptors(void)
{
	SECURITY_DESCRIPTOR it, back;
	SID_BYTES sid, owner, group;
	UCHAR list[32], list_back[32];
	ULONG64 relative[20];
	ULONG length = 0, descriptor_length = sizeof(back), dacl_length = sizeof(list_back), none = 0,
	      owner_length = sizeof(owner), group_length = 3;
	BOOLEAN present, defaulted;
	PVOID part;

	administrators(sid);
	RtlCreateAcl(list, sizeof(list), 2);
	expect(470, (ULONG)RtlAddAccessAllowedAce(list, 2, READ, sid), STATUS_SUCCESS);
	expect(471, (ULONG)RtlCreateSecurityDescriptor((void *)&it, 2), (ULONG)UNKNOWN_REVISION);
	expect(472, (ULONG)RtlCreateSecurityDescriptor((void *)&it, 1), STATUS_SUCCESS);
	expect(473, RtlLengthSecurityDescriptor(&it), 40);
	expect(474, (ULONG)RtlGetDaclSecurityDescriptor(&it, &present, &part, &defaulted), STATUS_SUCCESS);
	expect(475, present, FALSE);
	expect(476, (ULONG)RtlSetDaclSecurityDescriptor(&it, TRUE, list, FALSE), STATUS_SUCCESS);
	expect(477, (ULONG)RtlSetOwnerSecurityDescriptor(&it, sid, TRUE), STATUS_SUCCESS);
	expect(478, (ULONG)RtlSetGroupSecurityDescriptor(&it, sid, FALSE), STATUS_SUCCESS);
	expect(479, (ULONG)RtlGetDaclSecurityDescriptor(&it, &present, &part, &defaulted), STATUS_SUCCESS);
	expect(480, present && part == list && !defaulted, TRUE);
	expect(481, (ULONG)RtlGetOwnerSecurityDescriptor(&it, &part, &defaulted), STATUS_SUCCESS);
	expect(482, part == sid && defaulted, TRUE);
	expect(483, (ULONG)RtlGetSaclSecurityDescriptor(&it, &present, &part, &defaulted), STATUS_SUCCESS);
	expect(484, present, FALSE);
	expect(485, RtlLengthSecurityDescriptor(&it), 40 + 32 + 16 + 16);
	expect(486, RtlValidSecurityDescriptor(&it), TRUE);
	expect(487, (ULONG)RtlAbsoluteToSelfRelativeSD(&it, NULL, &length), (ULONG)TOO_SMALL);
	expect(488, length, 20 + 32 + 16 + 16);
	expect(489, (ULONG)RtlAbsoluteToSelfRelativeSD(&it, relative, &length), STATUS_SUCCESS);
	expect(490, RtlLengthSecurityDescriptor(relative), length);
	expect(491, RtlValidRelativeSecurityDescriptor(relative, length, 5), TRUE);
	expect(492, RtlValidRelativeSecurityDescriptor(relative, length, 8), FALSE);
	expect(493, RtlValidRelativeSecurityDescriptor(relative, length - 1, 0), FALSE);
	expect(494, SeValidSecurityDescriptor(length, relative), TRUE);
	expect(495, SeValidSecurityDescriptor(19, relative), FALSE);
	expect(496, (ULONG)RtlSetOwnerSecurityDescriptor(relative, sid, FALSE), (ULONG)INVALID_DESCRIPTOR);
	expect(497, (ULONG)RtlAbsoluteToSelfRelativeSD(relative, NULL, &length), (ULONG)BAD_FORMAT);
	expect(498, (ULONG)RtlGetGroupSecurityDescriptor(relative, &part, &defaulted), STATUS_SUCCESS);
	expect(499, RtlEqualSid(part, sid) && !defaulted, TRUE);
	expect(500, (ULONG)RtlSelfRelativeToAbsoluteSD(relative, &back, &descriptor_length, list_back, &dacl_length,
						       NULL, &none, owner, &owner_length, group, &group_length),
	       (ULONG)TOO_SMALL);
	expect(501, group_length, 16);
	expect(502, (ULONG)RtlSelfRelativeToAbsoluteSD(relative, &back, &descriptor_length, list_back, &dacl_length,
						       NULL, &none, owner, &owner_length, group, &group_length),
	       STATUS_SUCCESS);
	same(503, list_back, list, sizeof(list));
	expect(504, RtlLengthSecurityDescriptor(&back), 40 + 32 + 16 + 16);
	length = sizeof(relative) - 100;
	expect(505, (ULONG)RtlSelfRelativeToAbsoluteSD2(relative, &length), (ULONG)TOO_SMALL);
	expect(506, (ULONG)RtlSelfRelativeToAbsoluteSD2(relative, &length), STATUS_SUCCESS);
	expect(507, (ULONG)RtlGetDaclSecurityDescriptor(relative, &present, &part, &defaulted), STATUS_SUCCESS);
	same(508, part, list, sizeof(list));
	expect(509, (ULONG)RtlSetDaclSecurityDescriptor(&it, FALSE, NULL, FALSE), STATUS_SUCCESS);
	expect(510, RtlLengthSecurityDescriptor(&it), 40 + 16 + 16);
	*(UCHAR *)&it = 2;
	expect(511, RtlValidSecurityDescriptor(&it), FALSE);
	expect(512, RtlValidSecurityDescriptor(NULL), FALSE);
}

/* What a check gives; who has no right is told why. */
static ACCESS_MASK granted(SECURITY_DESCRIPTOR *descriptor, SECURITY_SUBJECT_CONTEXT *context, ACCESS_MASK wanted,
			   CHAR mode, NTSTATUS *status)
{
	PRIVILEGE_SET *privileges = NULL;
	ACCESS_MASK mask = 0;
	BOOLEAN may = SeAccessCheck(descriptor, context, FALSE, wanted, 0, &privileges, (PVOID)MAPPING, mode, &mask, status);

	expect(520, may, *status == STATUS_SUCCESS);
	if (privileges)
		SeFreePrivileges(privileges);
	return may ? mask : 0;
}

NOINLINE static void access(void)
{
	struct {
		ULONG count, control;
		ULONG luid[2], attributes;
	} set = { 1, 1, { 8, 0 }, 0 };
	SECURITY_DESCRIPTOR it;
	SECURITY_SUBJECT_CONTEXT context;
	UCHAR list[128];
	ACCESS_MASK mask = 0x80000000 | WRITE;
	ULONG64 logon = 0;
	PVOID token;
	NTSTATUS status;

	RtlMapGenericMask(&mask, MAPPING);
	expect(521, mask, CONTROL_READ | READ | WRITE);
	SeCaptureSubjectContext(&context);
	SeLockSubjectContext(&context);
	RtlCreateSecurityDescriptor((void *)&it, 1);
	RtlCreateAcl(list, sizeof(list), 2);
	RtlSetDaclSecurityDescriptor(&it, TRUE, list, FALSE);
	/* Nobody may do anything by an empty list, but the kernel. */
	expect(522, granted(&it, &context, READ, FOR_USER, &status), 0);
	expect(523, (ULONG)status, (ULONG)DENIED);
	expect(524, granted(&it, &context, READ | WRITE, FOR_KERNEL, &status), READ | WRITE);
	expect(525, granted(NULL, &context, READ, FOR_USER, &status), 0);
	/* The work item is the system's. Of each right the first entry decides. */
	RtlAddAccessAllowedAce(list, 2, READ, (PVOID)SeExports[LOCAL_SYSTEM]);
	RtlAddAccessDeniedAce(list, 2, READ | WRITE, (PVOID)SeExports[WORLD]);
	RtlAddAccessAllowedAce(list, 2, WRITE | CONTROL_READ, (PVOID)SeExports[ADMINISTRATORS]);
	expect(526, granted(&it, &context, READ, FOR_USER, &status), READ);
	expect(527, granted(&it, &context, READ | WRITE, FOR_USER, &status), 0);
	expect(528, granted(&it, &context, MAXIMUM, FOR_USER, &status), READ | CONTROL_READ);
	/* What takes a privilege. */
	mask = granted(&it, &context, READ | OWN, FOR_USER, &status);
	expect(529, mask == (READ | OWN) || status != STATUS_SUCCESS, TRUE);
	mask = granted(&it, &context, AUDIT, FOR_USER, &status);
	expect(530, mask == AUDIT || status != STATUS_SUCCESS, TRUE);
	/* Who owns an object may read who may do what with it. */
	RtlSetOwnerSecurityDescriptor(&it, (PVOID)SeExports[LOCAL_SYSTEM], FALSE);
	expect(531, granted(&it, &context, 0x40000, FOR_USER, &status), 0x40000);
	/* Without a list everybody may do everything. */
	RtlSetDaclSecurityDescriptor(&it, TRUE, NULL, FALSE);
	expect(532, granted(&it, &context, WRITE, FOR_USER, &status), WRITE);
	expect(533, granted(&it, &context, WRITE | MAXIMUM, FOR_USER, &status), MAPPING[3] | WRITE);
	expect(534, SePrivilegeCheck(&set, &context, FOR_USER), TRUE);
	expect(535, set.attributes, 0x80000000);
	set.luid[0] = 99;
	expect(536, SePrivilegeCheck(&set, &context, FOR_USER), FALSE);
	expect(537, SePrivilegeCheck(&set, &context, FOR_KERNEL), TRUE);
	token = context.PrimaryToken;
	expect(538, SeTokenIsAdmin(token), TRUE);
	expect(539, SeTokenIsRestricted(token), FALSE);
	expect(540, SeTokenType(token), 1);
	expect(541, (ULONG)SeQueryAuthenticationIdToken(token, (void *)&logon), STATUS_SUCCESS);
	expect(542, logon, 0x3E7);
	SeUnlockSubjectContext(&context);
	SeReleaseSubjectContext(&context);
	/* A context that is released is nobody's. */
	RtlSetDaclSecurityDescriptor(&it, TRUE, list, FALSE);
	expect(543, granted(&it, &context, READ, FOR_USER, &status), 0);
}

/* What wdmsec.lib does for IoCreateDeviceSecure. */
NOINLINE static void captured(void)
{
	SECURITY_DESCRIPTOR it;
	UCHAR list[64];
	BOOLEAN present = FALSE, defaulted;
	PVOID copy, found;
	NTSTATUS status;

	RtlCreateSecurityDescriptor((void *)&it, 1);
	RtlCreateAcl(list, sizeof(list), 2);
	expect(570, (ULONG)RtlSetSaclSecurityDescriptor(&it, TRUE, list, FALSE), STATUS_SUCCESS);
	expect(571, (ULONG)SeCaptureSecurityDescriptor(&it, KernelMode, 1, FALSE, &copy), STATUS_SUCCESS);
	expect(572, (ULONG64)copy, (ULONG64)&it);
	SeReleaseSecurityDescriptor(copy, KernelMode, FALSE);
	status = SeCaptureSecurityDescriptor(&it, KernelMode, 1, TRUE, &copy);
	if (worked(573, status)) {
		expect(574, (ULONG)RtlGetSaclSecurityDescriptor(copy, &present, &found, &defaulted), STATUS_SUCCESS);
		expect(575, present, TRUE);
		expect(576, RtlLengthSecurityDescriptor(copy), 20 + sizeof(list));
		SeReleaseSecurityDescriptor(copy, KernelMode, TRUE);
	}
	expect(577, (ULONG)RtlSetSaclSecurityDescriptor(&it, FALSE, NULL, FALSE), STATUS_SUCCESS);
	expect(578, (ULONG)RtlGetSaclSecurityDescriptor(&it, &present, &found, &defaulted), STATUS_SUCCESS);
	expect(579, present, FALSE);
	expect(580, IoIsWdmVersionAvailable(1, 0x30), TRUE);
	expect(581, IoIsWdmVersionAvailable(6, 1), FALSE);
}

/* A device and a key are protected; what is set is what there is. */
NOINLINE static void securables(void)
{
	enum { OWNER = 1, DACL = 4 };
	OBJECT_ATTRIBUTES attributes = { 0 };
	UNICODE_STRING name;
	DEVICE_OBJECT *device;
	SECURITY_DESCRIPTOR it;
	ULONG64 copy[32];
	UCHAR list[64];
	PVOID descriptor, part;
	BOOLEAN allocated, present, defaulted;
	ULONG needed;
	HANDLE key;

	if (IoCreateDevice(filter_object, 0, NULL, FILE_DEVICE_NETWORK, 0, FALSE, &device) == STATUS_SUCCESS) {
		if (ObGetObjectSecurity(device, &descriptor, &allocated) == STATUS_SUCCESS) {
			expect(560, SeValidSecurityDescriptor(RtlLengthSecurityDescriptor(descriptor), descriptor), TRUE);
			RtlGetOwnerSecurityDescriptor(descriptor, &part, &defaulted);
			expect(561, RtlEqualSid(part, (PVOID)SeExports[ADMINISTRATORS]), TRUE);
			ObReleaseObjectSecurity(descriptor, allocated);
		}
		IoDeleteDevice(device);
	}
	RtlInitUnicodeString(&name, L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\filter");
	attributes.Length = sizeof(attributes);
	attributes.ObjectName = &name;
	attributes.Attributes = OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE;
	if (ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, NULL, 0, NULL) != STATUS_SUCCESS)
		return;
	RtlCreateSecurityDescriptor((void *)&it, 1);
	RtlCreateAcl(list, sizeof(list), 2);
	RtlAddAccessAllowedAce(list, 2, READ, (PVOID)SeExports[WORLD]);
	RtlSetDaclSecurityDescriptor((void *)&it, TRUE, list, FALSE);
	if (ZwSetSecurityObject(key, DACL, &it) != STATUS_SUCCESS ||
	    ZwQuerySecurityObject(key, DACL, copy, 8, &needed) != TOO_SMALL ||
	    ZwQuerySecurityObject(key, DACL, copy, needed, &needed) != STATUS_SUCCESS) {
		ZwClose(key);
		return;
	}
	expect(564, needed, 20 + sizeof(list));
	expect(566, (ULONG)RtlGetDaclSecurityDescriptor(copy, &present, &part, &defaulted), STATUS_SUCCESS);
	same(567, part, list, 8 + 8 + 12);
	/* The owner is still who it was. */
	if (ZwQuerySecurityObject(key, OWNER, copy, sizeof(copy), &needed) == STATUS_SUCCESS) {
		RtlGetOwnerSecurityDescriptor(copy, &part, &defaulted);
		expect(569, RtlEqualSid(part, (PVOID)SeExports[ADMINISTRATORS]), TRUE);
	}
	*(UCHAR *)&it = 7;
	expect(570, ZwSetSecurityObject(key, DACL, &it) == STATUS_SUCCESS, FALSE);
	ZwClose(key);
}

/* A request of user mode is an ordinary user's. */
void security_of_user(void)
{
	LUID privilege = { 0 };
	SECURITY_DESCRIPTOR it;
	SECURITY_SUBJECT_CONTEXT context;
	UCHAR list[64];
	NTSTATUS status;

	SeCaptureSubjectContextEx(NULL, NULL, &context);
	RtlCreateSecurityDescriptor((void *)&it, 1);
	RtlCreateAcl(list, sizeof(list), 2);
	RtlSetDaclSecurityDescriptor(&it, TRUE, list, FALSE);
	RtlAddAccessAllowedAce(list, 2, READ | WRITE, (PVOID)SeExports[ADMINISTRATORS]);
	expect(550, granted(&it, &context, READ, FOR_USER, &status), 0);
	RtlAddAccessAllowedAce(list, 2, READ, (PVOID)SeExports[WORLD]);
	expect(551, granted(&it, &context, READ, FOR_USER, &status), READ);
	expect(552, granted(&it, &context, AUDIT, FOR_USER, &status), 0);
	expect(553, (ULONG)status, (ULONG)NOT_HELD);
	expect(554, SeTokenIsAdmin(context.PrimaryToken), FALSE);
	*(ULONG64 *)&privilege = 8;
	expect(555, SeSinglePrivilegeCheck(privilege, FOR_USER), FALSE);
	expect(556, SeSinglePrivilegeCheck(privilege, FOR_KERNEL), TRUE);
	*(ULONG64 *)&privilege = 23;
	expect(557, SeSinglePrivilegeCheck(privilege, FOR_USER), TRUE);
	SeReleaseSubjectContext(&context);
}

/* Runs all trials. */
void security(void)
{
	identifiers();
	entries();
	descriptors();
	access();
	captured();
	securables();
}
