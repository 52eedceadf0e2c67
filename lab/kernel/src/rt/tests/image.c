// A kernel image with one function per thing that the machine must do. Its only imports are those
// of the test registry.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

__declspec(dllimport) u64 Add(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
__declspec(dllimport) u64 CallBack(u64 (*function)(u64), u64 argument);
__declspec(dllimport) u64 Yield(void);
__declspec(dllimport) void *Allocate(u64 size);
__declspec(dllimport) void Free(void *block);
__declspec(dllimport) void Note(u64 value);
__declspec(dllimport) u64 Variable;

u64 __security_cookie = 0x2B992DDFA232;
int _fltused = 0;

struct load_config {
    u32 size;
    u8 unused[84];
    u64 cookie;
    u8 more[44];
};
const struct load_config _load_config_used = {sizeof(struct load_config), {0}, (u64)&__security_cookie, {0}};

const u64 table[2] = {7, 11};
static u64 counter;

#define EXPORT __declspec(dllexport) __declspec(noinline)

EXPORT u64 DriverEntry(void) { return Add(1, 2, 3, 4, 5, 6) + Variable; }
EXPORT u64 AddMany(u64 times) {
    u64 sum = 0;
    while (times--) sum = Add(1, 2, 3, 4, 5, sum);
    return sum;
}
EXPORT u64 Cookie(void) { return __security_cookie; }

EXPORT u64 Factorial(u64 n) { return n < 2 ? 1 : n * CallBack(Factorial, n - 1); }

// Live floating-point and integer state across suspensions.
EXPORT u64 Mix(u64 seed) {
    double a = (double)seed, b = 1.5, c = 2.25, d = 3.125, e = 0.5, f = 7.0;
    u64 sum = seed;
    for (int i = 0; i < 50; i++) {
        a = a * 1.0001 + b; b = b * 0.999 + c; c += d; d = d * 1.01 - e; e += f; f *= 0.99;
        sum = sum * 31 + (u64)i;
        Yield();
    }
    return sum ^ (u64)(a + b + c + d + e + f);
}

// A racy counter: loses updates when it is suspended between load and store.
EXPORT u64 Count(u64 times) {
    for (u64 i = 0; i < times; i++) {
        u64 value = *(volatile u64 *)&counter;
        Yield();
        *(volatile u64 *)&counter = value + 1;
    }
    return counter;
}
EXPORT u64 Counter(void) { return *(volatile u64 *)&counter; }

EXPORT u64 Overrun(u64 size) {
    volatile u8 *block = Allocate(size);
    for (u64 i = 0; i <= size; i++) block[i] = 1;
    return 0;
}
EXPORT u64 SmallOverrun(u64 size) {
    volatile u8 *block = Allocate(size);
    block[size] = 1;
    Free((void *)block);
    return 0;
}
EXPORT u64 Underrun(u64 size) {
    volatile u8 *block = Allocate(size);
    block[-1] = 1;
    Free((void *)block);
    return 0;
}
// Jumps to nowhere after it has taken FS away from whoever uses it.
EXPORT u64 JumpWithoutFs(u64 target) {
    __asm__ volatile("wrfsbase %0\n\tjmp *%1" : : "r"(0x1000ull), "r"(target));
    return 0;
}
EXPORT u64 WriteThroughFs(u64 offset) {
    __asm__ volatile("movq $0, %%fs:(%0)" : : "r"(offset) : "memory");
    return 0;
}
// Calls the second half of an import's stub, with a number of its own.
EXPORT u64 CallIntoStub(u64 number) {
    u64 middle = (u64)&Note + 5;
    __asm__ volatile("call *%1" : "+a"(number) : "r"(middle) : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory");
    // Its call has room on the stack for arguments, which the stub writes to.
    Note(number);
    return number;
}
EXPORT u64 UseAfterFree(u64 size) {
    volatile u8 *block = Allocate(size);
    Free((void *)block);
    return block[size / 2];
}

EXPORT u64 Recurse(u64 depth) {
    volatile u8 frame[400];
    frame[depth % 400] = (u8)depth;
    return depth ? Recurse(depth - 1) + frame[depth % 400] : 0;
}
EXPORT u64 BigFrame(u64 size) {
    volatile u8 frame[20000];
    frame[size] = 1;
    return Add((u64)frame[size], 0, 0, 0, 0, 0);
}
EXPORT u64 BigFrameDeep(u64 size) {
    volatile u8 frame[6000];
    frame[size] = 1;
    return BigFrame(size) + frame[size];
}

__declspec(dllimport) u64 Depth(void);
// A frame of a size that only the frame register knows, and nonvolatile registers in use.
EXPORT u64 Dynamic(u64 size) {
    volatile u8 *block = __builtin_alloca(size);
    double live = (double)size;
    for (u64 i = 0; i < size; i++) block[i] = (u8)i;
    u64 depth = Depth();
    live += (double)Depth();
    return block[size - 1] == (u8)(size - 1) && live > depth ? depth : 0;
}
EXPORT u64 Around(u64 size) { return size ? Around(size / 2) + Dynamic(size + 5000) : 0; }

// What it was entered with, seen without a prolog: 0 if all registers that it was given nothing in are alike.
EXPORT __attribute__((naked)) u64 Inherited(void) {
    __asm__("xorl %eax, %eax\n"
            ".irp register, rbx, rsi, rdi, r10, r11, r12, r13, r14, r15\n"
            "movq %\\register, %rcx\n"
            "xorq %rbp, %rcx\n"
            "orq %rcx, %rax\n"
            ".endr\n"
            "ret");
}
EXPORT __attribute__((naked)) u64 WriteInherited(void) { __asm__("movq $1, -64(%rbp)\nret"); }
EXPORT u64 NullRead(void) { return *(volatile u64 *)0x18; }
EXPORT u64 BadWrite(void) { *(volatile u64 *)0xFFFFAAAA00001000ull = 1; return 0; }
EXPORT u64 Torn(u64 pointer) { *(volatile u64 *)pointer = 1; return 0; }
EXPORT u64 WriteConst(void) { *(volatile u64 *)&table[1] = 1; return 0; }
EXPORT u64 WildCall(u64 target) { u64 result = ((u64(*)(void))target)(); Note(result); return result; }
EXPORT u64 Divide(u64 by) { return 100 / *(volatile u64 *)&by; }
EXPORT u64 Illegal(void) { __asm__ volatile("ud2"); return 0; }
EXPORT u64 FastFail(u64 code) { __asm__ volatile("int $0x29" : : "c"(code)); return 0; }
EXPORT u64 Assertion(void) { __asm__ volatile("int $0x2c"); return 0; }
EXPORT u64 Breakpoint(void) { __asm__ volatile("int3"); return 0; }
EXPORT u64 Debug(void) { __asm__ volatile("int $0x2d\n int3" : : "a"(1ull)); return 5; }
EXPORT u64 Halt(void) { __asm__ volatile("hlt"); return 0; }
EXPORT u64 Loop(void) { for (;;) __asm__ volatile(""); }

// Spins without an import until another thread has raised the counter.
EXPORT u64 SpinUntil(u64 value) {
    while (*(volatile u64 *)&counter < value) __asm__ volatile("pause");
    return counter;
}
__attribute__((section("INIT"))) EXPORT u64 Initialize(void) { return 9; }

__declspec(dllimport) void *AllocatePaged(u64 size);
static void raise(u64 level) { __asm__ volatile("mov %0, %%cr8" : : "r"(level)); }
// Touches paged pool below DISPATCH_LEVEL, at `level`, and below again.
EXPORT u64 TouchPaged(u64 level) {
    volatile u64 *block = AllocatePaged(64);
    block[0] = 5;
    raise(2);
    raise(0);
    block[1] = block[0];
    raise(level);
    u64 value = block[1];
    raise(0);
    Free((void *)block);
    return value;
}
__attribute__((section("PAGE"))) EXPORT u64 Pageable(u64 level) {
    raise(level);
    raise(0);
    return level + 3;
}

EXPORT u64 Irql(u64 level) {
    u64 before, during;
    __asm__ volatile("mov %%cr8, %0" : "=r"(before));
    __asm__ volatile("mov %0, %%cr8" : : "r"(level));
    __asm__ volatile("mov %%cr8, %0" : "=r"(during));
    Note(0);
    __asm__ volatile("mov %0, %%cr8" : : "r"(before));
    return before << 8 | during;
}
EXPORT u64 Processor(void) {
    u32 number;
    u64 self;
    __asm__ volatile("movl %%gs:0x1a4, %0" : "=r"(number));
    __asm__ volatile("movq %%gs:0x18, %0" : "=r"(self));
    return self + number;
}
EXPORT u64 Timestamp(void) {
    u32 low, high, aux;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    u64 first = (u64)high << 32 | low;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    return ((u64)high << 32 | low) - first;
}
EXPORT u64 Identify(void) {
    u32 a = 0, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return a;
}
EXPORT u64 Ticks(void) {
    volatile u32 *shared = (volatile u32 *)0xFFFFF78000000000ull;
    u64 interrupt_time = *(volatile u64 *)&shared[2];
    u64 absolute;
    __asm__ volatile("movabsq 0xFFFFF78000000008, %%rax" : "=a"(absolute));
    return interrupt_time == absolute ? shared[1] : 0;
}
EXPORT u64 Forever(void) { for (;;) Yield(); }
