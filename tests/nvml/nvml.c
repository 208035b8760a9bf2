/* A libnvidia-ml.so.1 for machines without NVIDIA's driver: the calls that reading a pool makes, with states that a test chooses.
 *
 * NVML_TEST_GPUS: one letter a GPU: '.' sound, 'l' lost, 'f' fails when it is asked, 'u' shares the host's memory.
 * NVML_TEST_INIT: the return code of nvmlInit; 0 without it.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    INSUFFICIENT_SIZE = 7,
    GPU_IS_LOST = 15,
    UNKNOWN = 999,
};

enum { GPUS_MAX = 64 };

typedef int result;

typedef struct {
    char state;
} device;

typedef struct {
    unsigned long long total, free, used;
} memory;

static const unsigned long long TOTAL = 81559ULL << 20;
static const unsigned long long USED = 600ULL << 20;

static device devices[GPUS_MAX];
static atomic_int opened;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static unsigned count(void) {
    size_t length = strlen(setting("NVML_TEST_GPUS"));
    return length < GPUS_MAX ? (unsigned)length : GPUS_MAX;
}

static result check(const device *asked) {
    if (!opened) return UNINITIALIZED;
    if (!asked) return INVALID_ARGUMENT;
    return asked->state == 'f' ? UNKNOWN : SUCCESS;
}

result nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    result code = atoi(setting("NVML_TEST_INIT"));
    if (code == SUCCESS) opened++;
    return code;
}

result nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

result nvmlShutdown(void) {
    if (!opened) return UNINITIALIZED;
    opened--;
    return SUCCESS;
}

const char *nvmlErrorString(result code) { return code == SUCCESS ? "Success" : "An error of the test's library"; }

result nvmlDeviceGetCount_v2(unsigned *found) {
    if (!opened) return UNINITIALIZED;
    *found = count();
    return SUCCESS;
}

result nvmlDeviceGetHandleByIndex_v2(unsigned index, device **found) {
    if (!opened) return UNINITIALIZED;
    if (index >= count()) return INVALID_ARGUMENT;
    devices[index].state = setting("NVML_TEST_GPUS")[index];
    *found = &devices[index];
    return devices[index].state == 'l' ? GPU_IS_LOST : SUCCESS;
}

result nvmlDeviceGetName(device *asked, char *name, unsigned length) {
    static const char *const discrete = "NVIDIA H100 80GB HBM3", *const unified = "NVIDIA GB10";
    result code = check(asked);
    if (code != SUCCESS) return code;
    const char *known = asked->state == 'u' ? unified : discrete;
    if (strlen(known) >= length) return INSUFFICIENT_SIZE;
    strcpy(name, known);
    return SUCCESS;
}

result nvmlDeviceGetMemoryInfo(device *asked, memory *found) {
    result code = check(asked);
    if (code != SUCCESS) return code;
    if (asked->state == 'u') return NOT_SUPPORTED;
    *found = (memory){.total = TOTAL, .free = TOTAL - USED, .used = USED};
    return SUCCESS;
}
