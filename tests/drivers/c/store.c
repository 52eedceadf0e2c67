/*
 * The registry and the disk, tried against what the pages of their functions say. The driver stops the system where one
 * differs; what fails for want of memory ends a trial.
 */
#include "filter.h"

#define SERVICE L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\filter"
#define LOG L"\\SystemRoot\\Temp\\deferlwf-trial.log"

NDIS_HANDLE driver_configuration(void)
{
	NDIS_CONFIGURATION_OBJECT object = { 0 };
	NDIS_HANDLE configuration;

	object.Header.Type = NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT;
	object.Header.Revision = NDIS_CONFIGURATION_OBJECT_REVISION_1;
	object.Header.Size = NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1;
	object.NdisHandle = filter_driver;
	return NdisOpenConfigurationEx(&object, &configuration) == NDIS_STATUS_SUCCESS ? configuration : NULL;
}

/* What was set with the registry is what NDIS reads. */
NOINLINE static void read_by_ndis(void)
{
	NDIS_CONFIGURATION_PARAMETER *parameter;
	NDIS_HANDLE configuration = driver_configuration();
	UNICODE_STRING keyword;
	NDIS_STATUS status;

	if (!configuration)
		return;
	RtlInitUnicodeString(&keyword, L"trial");
	NdisReadConfiguration(&status, &parameter, configuration, &keyword, NdisParameterInteger);
	if (status == NDIS_STATUS_SUCCESS)
		expect(300, parameter->ParameterData.IntegerData, 77);
	NdisCloseConfiguration(configuration);
}

NOINLINE static void values(HANDLE key)
{
	struct {
		KEY_VALUE_PARTIAL_INFORMATION partial;
		UCHAR more[16];
	} room;
	UNICODE_STRING name;
	ULONG value = 77, needed = 0;

	RtlInitUnicodeString(&name, L"Trial");
	if (!worked(310, ZwSetValueKey(key, &name, 0, REG_DWORD, &value, sizeof(value))))
		return;
	read_by_ndis();
	if (failed(311, ZwQueryValueKey(key, &name, KeyValuePartialInformation, &room, 4, &needed),
		   STATUS_BUFFER_TOO_SMALL))
		expect(312, needed, 16);
	if (failed(313, ZwQueryValueKey(key, &name, KeyValuePartialInformation, &room, 14, &needed),
		   STATUS_BUFFER_OVERFLOW))
		expect(314, room.partial.DataLength, 4);
	if (worked(315, ZwQueryValueKey(key, &name, KeyValuePartialInformation, &room, sizeof(room), &needed))) {
		expect(316, room.partial.Type, REG_DWORD);
		expect(317, *(ULONG *)room.partial.Data, 77);
	}
	if (worked(318, ZwDeleteValueKey(key, &name)))
		failed(319, ZwQueryValueKey(key, &name, KeyValuePartialInformation, &room, sizeof(room), &needed),
		       STATUS_OBJECT_NAME_NOT_FOUND);
}

NOINLINE static void subkeys(HANDLE service)
{
	struct {
		KEY_BASIC_INFORMATION basic;
		WCHAR more[16];
	} room;
	KEY_FULL_INFORMATION full;
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES under = attributes(service, &name, L"Trial");
	ULONG disposition = 0, needed;
	HANDLE key;

	if (!worked(320, ZwCreateKey(&key, KEY_READ, &under, 0, NULL, REG_OPTION_VOLATILE, &disposition)))
		return;
	expect(321, disposition, REG_CREATED_NEW_KEY);
	if (worked(322, ZwQueryKey(service, KeyFullInformation, &full, sizeof(full), &needed)))
		expect(323, full.SubKeys, 2);
	/* `Parameters` is the first. */
	if (worked(324, ZwEnumerateKey(service, 1, KeyBasicInformation, &room, sizeof(room), &needed))) {
		expect(325, room.basic.NameLength, 10);
		expect(326, room.basic.Name[4], L'l');
	}
	failed(327, ZwEnumerateKey(service, 2, KeyBasicInformation, &room, sizeof(room), &needed),
	       STATUS_NO_MORE_ENTRIES);
	/* Short of memory, it stays until the system is restarted. */
	while (ZwDeleteKey(key) == STATUS_INSUFFICIENT_RESOURCES)
		;
	ZwClose(key);
}

/* PRTL_QUERY_REGISTRY_ROUTINE */
static NTSTATUS seen(WCHAR *name, ULONG type, PVOID data, ULONG length, PVOID context, PVOID entry)
{
	(void)name;
	(void)context;
	if (type == REG_DWORD && length == 4)
		*(ULONG *)entry += *(ULONG *)data;
	return STATUS_SUCCESS;
}

NOINLINE static void library_calls(void)
{
	ULONG sum = 0, start = 0, value = 5;
	RTL_QUERY_REGISTRY_TABLE table[4] = { 0 };

	table[0].QueryRoutine = table[1].QueryRoutine = seen;
	table[0].EntryContext = table[1].EntryContext = &sum;
	table[0].Name = L"Type";
	table[1].Name = L"Nothing";
	table[1].DefaultType = REG_DWORD;
	table[1].DefaultData = &value;
	table[1].DefaultLength = sizeof(value);
	table[2].Flags = RTL_QUERY_REGISTRY_DIRECT | RTL_QUERY_REGISTRY_TYPECHECK;
	table[2].Name = L"Start";
	table[2].EntryContext = &start;
	table[2].DefaultType = REG_DWORD << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT | REG_NONE;
	if (worked(330, RtlQueryRegistryValues(RTL_REGISTRY_SERVICES, L"filter", table, NULL, NULL))) {
		expect(331, sum, 6);
		expect(332, start, 1);
	}
	/* The key above is there. */
	worked(336, RtlCreateRegistryKey(RTL_REGISTRY_SERVICES, NULL));
	failed(333, RtlCheckRegistryKey(RTL_REGISTRY_SERVICES, L"nobody"), STATUS_OBJECT_NAME_NOT_FOUND);
	if (worked(334, RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, L"filter", L"Extra", REG_DWORD, &value,
					      sizeof(value))))
		worked(335, RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, L"filter", L"Extra"));
}

void store_parameters(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, SERVICE);
	HANDLE service, key;

	if (!worked(343, ZwOpenKey(&service, KEY_READ, &it)))
		return;
	it = attributes(service, &name, L"parameters");
	if (worked(341, ZwOpenKey(&key, KEY_READ | KEY_SET_VALUE, &it))) {
		values(key);
		ZwClose(key);
	}
	ZwClose(service);
}

NOINLINE static void registry(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, SERVICE);
	HANDLE service, key;

	if (worked(340, ZwOpenKey(&service, KEY_READ, &it))) {
		subkeys(service);
		/* A handle stands in the place of a path. */
		worked(344, RtlCreateRegistryKey(RTL_REGISTRY_HANDLE, service));
		worked(345, RtlCheckRegistryKey(RTL_REGISTRY_HANDLE, service));
		ZwClose(service);
	}
	it = attributes(NULL, &name, SERVICE L"\\Nothing");
	failed(342, ZwOpenKey(&key, KEY_READ, &it), STATUS_OBJECT_NAME_NOT_FOUND);
	library_calls();
}

/* Reads and writes of one open file. */
NOINLINE static void transfers(HANDLE file)
{
	FILE_STANDARD_INFORMATION standard;
	IO_STATUS_BLOCK block;
	LARGE_INTEGER at = { .QuadPart = 2 };
	UCHAR bytes[8] = "0123456";

	if (!worked(350, ZwWriteFile(file, NULL, NULL, NULL, &block, bytes, 7, NULL, NULL)))
		return;
	expect(351, block.Information, 7);
	/* The file is where the write has ended. */
	failed(352, ZwReadFile(file, NULL, NULL, NULL, &block, bytes, 4, NULL, NULL), STATUS_END_OF_FILE);
	if (worked(353, ZwReadFile(file, NULL, NULL, NULL, &block, bytes, 8, &at, NULL))) {
		expect(354, block.Information, 5);
		expect(355, bytes[0], '2');
	}
	if (worked(356, ZwQueryInformationFile(file, &block, &standard, sizeof(standard), FileStandardInformation))) {
		expect(357, standard.EndOfFile.QuadPart, 7);
		expect(358, standard.Directory, FALSE);
	}
	failed(359, ZwQueryInformationFile(file, &block, &standard, 4, FileStandardInformation),
	       STATUS_INFO_LENGTH_MISMATCH);
	worked(360, ZwFlushBuffersFile(file, &block));
}

NOINLINE static void files(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, LOG);
	IO_STATUS_BLOCK block;
	HANDLE file, second;
	ULONG options = FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE;
	NTSTATUS status;

	status = ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &it, &block, NULL,
			      FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF, options, NULL, 0);
	if (!worked(370, status))
		return;
	transfers(file);
	/* Nobody else may have it open. */
	failed(371, ZwOpenFile(&second, FILE_READ_DATA | SYNCHRONIZE, &it, &block, FILE_SHARE_READ, options),
	       STATUS_SHARING_VIOLATION);
	ZwClose(file);
	status = ZwOpenFile(&file, FILE_READ_DATA | SYNCHRONIZE, &it, &block, FILE_SHARE_READ, options);
	if (worked(372, status)) {
		failed(373, ZwWriteFile(file, NULL, NULL, NULL, &block, &block, 1, NULL, NULL),
		       STATUS_ACCESS_DENIED);
		ZwClose(file);
	}
	status = ZwOpenFile(&file, DELETE | SYNCHRONIZE, &it, &block, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
			    options);
	while (ZwDeleteFile(&it) == STATUS_INSUFFICIENT_RESOURCES)
		;
	/* It stays for whoever has it open. */
	if (worked(377, status)) {
		FILE_STANDARD_INFORMATION standard;

		status = ZwQueryInformationFile(file, &block, &standard, sizeof(standard), FileStandardInformation);
		if (worked(378, status))
			expect(379, standard.DeletePending, TRUE);
		failed(380, ZwOpenFile(&second, FILE_READ_DATA | SYNCHRONIZE, &it, &block, FILE_SHARE_READ, options),
		       STATUS_DELETE_PENDING);
		ZwClose(file);
	}
	status = ZwOpenFile(&file, FILE_READ_DATA | SYNCHRONIZE, &it, &block, FILE_SHARE_READ, options);
	if (failed(374, status, STATUS_OBJECT_NAME_NOT_FOUND))
		expect(375, block.Information, FILE_DOES_NOT_EXIST);
	it = attributes(NULL, &name, L"\\??\\C:\\nowhere\\x");
	failed(376, ZwOpenFile(&file, FILE_READ_DATA | SYNCHRONIZE, &it, &block, FILE_SHARE_READ, options),
	       STATUS_OBJECT_PATH_NOT_FOUND);
}

/* A file that somebody has put there, if so: `lab!` and a byte that tells its length. */
NOINLINE static void given(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\SystemRoot\\Temp\\Given\\deferlwf.dat");
	FILE_STANDARD_INFORMATION standard;
	IO_STATUS_BLOCK block;
	UCHAR bytes[8];
	HANDLE file;

	if (ZwOpenFile(&file, FILE_READ_DATA | SYNCHRONIZE, &it, &block, FILE_SHARE_READ,
		       FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE) != STATUS_SUCCESS)
		return;
	if (worked(381, ZwReadFile(file, NULL, NULL, NULL, &block, bytes, 5, NULL, NULL))) {
		expect(382, block.Information, 5);
		expect(383, *(ULONG *)bytes, 0x2162616c);
		if (worked(384, ZwQueryInformationFile(file, &block, &standard, sizeof(standard),
						       FileStandardInformation)))
			expect(385, standard.EndOfFile.QuadPart, bytes[4]);
	}
	ZwClose(file);
}

/* Runs all trials. */
void store(void)
{
	given();
	registry();
	files();
}
