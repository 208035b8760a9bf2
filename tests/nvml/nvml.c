/* A libnvidia-ml.so.1 for machines without NVIDIA's driver: what NVIDIA's own binding asks of one, over a state that a test changes.
 *
 * NVML_TEST_STATE names the file of the state (`nvml.h`). Without one there is no driver. The structures that cross the border are
 * declared here as NVIDIA's public header has them; that they fit is shown by the values that come out at the other side.
 */
#define _POSIX_C_SOURCE 200809L
#include "nvml.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    LIB_RM_VERSION_MISMATCH = 18,
    ARGUMENT_VERSION_MISMATCH = 25,
};

typedef int result;
typedef unsigned long long u64;

/* A handle is a GPU, or one MIG device of it. */
typedef struct {
    unsigned gpu;
    int mig;
} device;

typedef struct { u64 total, free, used; } memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_info;
typedef struct { unsigned pid; u64 memory; unsigned instance, compute_instance; } process_info;
typedef struct { unsigned version; int sensor, celsius; } temperature_info;
typedef union { double d; int si; unsigned ui; unsigned long ul; u64 ull; long long sll; } field_scalar;
typedef struct { unsigned id, scope; long long at, latency; unsigned type; result code; field_scalar value; } field_value;
typedef struct { device *device; u64 type, data; unsigned instance, compute_instance; } event_data;
typedef struct { u64 seen, mask[GPUS_MAX]; } event_set;
typedef struct { u64 taken; gpu_state gpu; } gpm_sample;
typedef struct { unsigned id; result code; double value; char *info[3]; } gpm_metric;
typedef struct { unsigned version, count; gpm_sample *first, *second; gpm_metric metric[512]; } gpm_request;
typedef struct { unsigned version, supported; } gpm_support;

static machine_state *state;
static unsigned opened;
static uint64_t generation;
static device gpus[GPUS_MAX], migs[GPUS_MAX][MIG_MAX];

static result alive(void) {
    if (!state || !opened) return UNINITIALIZED;
    __atomic_add_fetch(&state->calls, 1, __ATOMIC_RELAXED);
    if (state->code != SUCCESS) return (result)state->code;
    return state->generation == generation ? SUCCESS : DRIVER_NOT_LOADED;
}

static gpu_state *of(const device *asked) { return &state->gpu[asked->gpu]; }

static result check(const device *asked, unsigned needed) {
    result code = alive();
    if (code != SUCCESS) return code;
    if (!asked || asked->gpu >= state->gpus) return INVALID_ARGUMENT;
    if (of(asked)->code != SUCCESS) return (result)of(asked)->code;
    return of(asked)->lacks & needed ? NOT_SUPPORTED : SUCCESS;
}

static result put(char *to, unsigned length, const char *text) {
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

/* Opening and closing */

static machine_state *mapped(void) {
    const char *path = getenv("NVML_TEST_STATE");
    int file = path ? open(path, O_RDWR) : -1;
    struct stat found;
    if (file < 0) return NULL;
    void *at = MAP_FAILED;
    if (fstat(file, &found) == 0 && (size_t)found.st_size == sizeof(machine_state))
        at = mmap(NULL, sizeof(machine_state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return at == MAP_FAILED ? NULL : at;
}

result nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    machine_state *found = opened ? state : mapped();
    if (!found || found->magic != STATE_MAGIC) return DRIVER_NOT_LOADED;
    result code = (result)found->code;
    if (code != SUCCESS) {
        if (!opened) munmap(found, sizeof *found);
        return code;
    }
    if (!opened++) {
        state = found;
        generation = state->generation;
        __atomic_add_fetch(&state->opened, 1, __ATOMIC_RELAXED);
        for (unsigned gpu = 0; gpu < GPUS_MAX; gpu++) {
            gpus[gpu] = (device){gpu, -1};
            for (int mig = 0; mig < MIG_MAX; mig++) migs[gpu][mig] = (device){gpu, mig};
        }
    }
    return SUCCESS;
}

result nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

result nvmlShutdown(void) {
    if (!opened) return UNINITIALIZED;
    if (!--opened) {
        munmap(state, sizeof *state);
        state = NULL;
    }
    return SUCCESS;
}

const char *nvmlErrorString(result code) { return code == SUCCESS ? "Success" : "An error of the test's library"; }

result nvmlSystemGetDriverVersion(char *to, unsigned length) {
    result code = alive();
    return code == SUCCESS ? put(to, length, state->driver) : code;
}

result nvmlSystemGetNVMLVersion(char *to, unsigned length) { return put(to, length, "13.test"); }

result nvmlSystemGetCudaDriverVersion_v2(int *version) {
    result code = alive();
    *version = 13000;
    return code;
}

/* Finding devices */

result nvmlDeviceGetCount_v2(unsigned *count) {
    result code = alive();
    if (code == SUCCESS) *count = state->gpus;
    return code;
}

result nvmlDeviceGetHandleByIndex_v2(unsigned index, device **found) {
    result code = alive();
    if (code != SUCCESS) return code;
    if (index >= state->gpus) return INVALID_ARGUMENT;
    *found = &gpus[index];
    return state->gpu[index].code == GPU_IS_LOST ? GPU_IS_LOST : SUCCESS;
}

static void write_uuid(const device *asked, char *to) {
    if (asked->mig < 0) sprintf(to, "GPU-00000000-0000-4000-8000-%012x", asked->gpu + 1);
    else sprintf(to, "MIG-00000000-0000-5000-8000-%06x%06x", asked->gpu + 1, of(asked)->mig_devices[asked->mig].instance);
}

result nvmlDeviceGetUUID(device *asked, char *to, unsigned length) {
    char text[64];
    result code = check(asked, 0);
    if (code != SUCCESS) return code;
    write_uuid(asked, text);
    return put(to, length, text);
}

result nvmlDeviceGetHandleByUUID(const char *uuid, device **found) {
    result code = alive();
    if (code != SUCCESS) return code;
    for (unsigned gpu = 0; gpu < state->gpus; gpu++) {
        char text[64];
        write_uuid(&gpus[gpu], text);
        if (strcmp(uuid, text) == 0) return nvmlDeviceGetHandleByIndex_v2(gpu, found);
    }
    return NOT_FOUND;
}

result nvmlDeviceGetName(device *asked, char *to, unsigned length) {
    char text[128];
    result code = check(asked, 0);
    if (code != SUCCESS) return code;
    if (asked->mig < 0) return put(to, length, of(asked)->lacks & LACKS_MEMORY ? "NVIDIA GB10" : state->name);
    const mig_state *mig = &of(asked)->mig_devices[asked->mig];
    snprintf(text, sizeof text, "%s MIG %ug.%ugb", state->name, mig->slices, mig->slices * 10);
    return put(to, length, text);
}

result nvmlDeviceGetIndex(device *asked, unsigned *index) {
    result code = check(asked, 0);
    if (code == SUCCESS) *index = asked->gpu;
    return code;
}

result nvmlDeviceGetMinorNumber(device *asked, unsigned *minor) { return nvmlDeviceGetIndex(asked, minor); }

result nvmlDeviceGetSerial(device *asked, char *to, unsigned length) {
    char text[32];
    result code = check(asked, 0);
    if (code != SUCCESS) return code;
    sprintf(text, "165%07u", asked->gpu);
    return put(to, length, text);
}

result nvmlDeviceGetPciInfo_v3(device *asked, pci_info *found) {
    result code = check(asked, 0);
    if (code != SUCCESS) return code;
    memset(found, 0, sizeof *found);
    found->bus = 0x10 + asked->gpu * 8;
    found->id = 0x233010de;
    sprintf(found->bus_id, "00000000:%02X:00.0", found->bus);
    sprintf(found->legacy, "0000:%02X:00.0", found->bus);
    return SUCCESS;
}

/* Gauges */

#define GAUGE(function, type, needed, value)                         \
    result function(device *asked, type *found) {                    \
        result code = check(asked, needed);                          \
        if (code == SUCCESS) *found = (type)(of(asked)->value);      \
        return code;                                                 \
    }

GAUGE(nvmlDeviceGetPowerUsage, unsigned, LACKS_POWER, power_mw)
GAUGE(nvmlDeviceGetEnforcedPowerLimit, unsigned, LACKS_POWER, power_limit_mw)
GAUGE(nvmlDeviceGetTotalEnergyConsumption, u64, LACKS_POWER, energy_mj)
GAUGE(nvmlDeviceGetCurrentClocksEventReasons, u64, 0, throttle)
GAUGE(nvmlDeviceGetCurrentClocksThrottleReasons, u64, 0, throttle)

result nvmlDeviceGetUtilizationRates(device *asked, utilization *found) {
    result code = check(asked, LACKS_UTILISATION);
    if (code != SUCCESS) return code;
    if (asked->mig >= 0 || of(asked)->mig) return NOT_SUPPORTED;
    *found = (utilization){of(asked)->busy_percent, of(asked)->memory_busy_percent};
    return SUCCESS;
}

static u64 total_of(const device *asked) {
    return asked->mig < 0 ? state->memory_total : (u64)of(asked)->mig_devices[asked->mig].memory_mib << 20;
}

static u64 used_of(const device *asked) {
    return asked->mig < 0 ? of(asked)->memory_used : (u64)of(asked)->mig_devices[asked->mig].used_mib << 20;
}

/* As NVIDIA's: the first version counts what the driver reserves as used, the second does not. */
result nvmlDeviceGetMemoryInfo(device *asked, memory *found) {
    result code = check(asked, LACKS_MEMORY);
    if (code != SUCCESS) return code;
    u64 used = used_of(asked) + (asked->mig < 0 ? state->memory_reserved : 0);
    *found = (memory){.total = total_of(asked), .free = total_of(asked) - used, .used = used};
    return SUCCESS;
}

result nvmlDeviceGetMemoryInfo_v2(device *asked, memory_v2 *found) {
    result code = check(asked, LACKS_MEMORY);
    if (code != SUCCESS) return code;
    if (found->version != (sizeof *found | 2U << 24)) return ARGUMENT_VERSION_MISMATCH;
    found->total = total_of(asked);
    found->used = used_of(asked);
    found->reserved = asked->mig < 0 ? state->memory_reserved : 0;
    found->free = found->total - found->used - found->reserved;
    return SUCCESS;
}

result nvmlDeviceGetTemperature(device *asked, int sensor, unsigned *celsius) {
    result code = check(asked, 0);
    if (code != SUCCESS) return code;
    if (sensor != 0) return INVALID_ARGUMENT;
    *celsius = of(asked)->temperature_c;
    return SUCCESS;
}

result nvmlDeviceGetTemperatureV(device *asked, temperature_info *found) {
    result code = check(asked, 0);
    if (code == SUCCESS) found->celsius = (int)of(asked)->temperature_c;
    return code;
}

result nvmlDeviceGetClockInfo(device *asked, int kind, unsigned *mhz) {
    result code = check(asked, 0);
    if (code == SUCCESS) *mhz = kind == 2 ? of(asked)->memory_mhz : of(asked)->sm_mhz;
    return code;
}

result nvmlDeviceGetEccMode(device *asked, int *now, int *pending) {
    result code = check(asked, LACKS_ECC);
    if (code == SUCCESS) *now = *pending = 1;
    return code;
}

result nvmlDeviceGetTotalEccErrors(device *asked, int kind, int counter, u64 *count) {
    result code = check(asked, LACKS_ECC);
    if (code != SUCCESS) return code;
    const gpu_state *gpu = of(asked);
    *count = kind == 0 ? gpu->ecc_corrected : counter == 0 ? gpu->ecc_uncorrected : gpu->ecc_uncorrected_lifetime;
    return SUCCESS;
}

result nvmlDeviceGetRemappedRows(device *asked, unsigned *correctable, unsigned *uncorrectable, unsigned *pending, unsigned *failed) {
    result code = check(asked, LACKS_REMAPPING);
    if (code != SUCCESS) return code;
    const gpu_state *gpu = of(asked);
    *correctable = gpu->remapped_correctable;
    *uncorrectable = gpu->remapped_uncorrectable;
    *pending = gpu->remap_pending;
    *failed = gpu->remap_failed;
    return SUCCESS;
}

result nvmlDeviceGetNvLinkState(device *asked, unsigned link, int *up) {
    result code = check(asked, LACKS_NVLINK);
    if (code != SUCCESS) return code;
    if (link >= state->links) return INVALID_ARGUMENT;
    *up = (int)of(asked)->link_up[link];
    return SUCCESS;
}

/* Fields: numbers as the public header has them. */

static result read_field(const device *asked, field_value *asked_for) {
    const gpu_state *gpu = of(asked);
    const struct { unsigned id, needed; u64 value; } known[] = {
        {3, LACKS_ECC, gpu->ecc_corrected},
        {4, LACKS_ECC, gpu->ecc_uncorrected},
        {6, LACKS_ECC, gpu->ecc_uncorrected_lifetime},
        {38, LACKS_NVLINK, gpu->link_crc_errors},
        {52, LACKS_NVLINK, gpu->link_replays},
        {59, LACKS_NVLINK, gpu->link_recoveries},
        {82, 0, gpu->memory_temperature_c},
        {83, LACKS_POWER, gpu->energy_mj},
        {91, LACKS_NVLINK, state->links},
        {142, LACKS_REMAPPING, gpu->remapped_correctable},
        {143, LACKS_REMAPPING, gpu->remapped_uncorrectable},
        {144, LACKS_REMAPPING, gpu->remap_pending},
        {145, LACKS_REMAPPING, gpu->remap_failed},
    };
    for (size_t at = 0; at < sizeof known / sizeof *known; at++)
        if (known[at].id == asked_for->id) {
            asked_for->type = 3;
            asked_for->value.ull = known[at].value;
            return gpu->lacks & known[at].needed ? NOT_SUPPORTED : SUCCESS;
        }
    return NOT_SUPPORTED;
}

result nvmlDeviceGetFieldValues(device *asked, int count, field_value *values) {
    result code = check(asked, 0);
    for (int at = 0; code == SUCCESS && at < count; at++) values[at].code = read_field(asked, &values[at]);
    return code;
}

/* Profiling of performance: a gauge between two samples. */

result nvmlGpmQueryDeviceSupport(device *asked, gpm_support *found) {
    result code = check(asked, 0);
    if (code == SUCCESS) found->supported = !(of(asked)->lacks & LACKS_GPM);
    return code;
}

result nvmlGpmSampleAlloc(gpm_sample **sample) {
    *sample = calloc(1, sizeof **sample);
    return alive();
}

result nvmlGpmSampleFree(gpm_sample *sample) {
    free(sample);
    return SUCCESS;
}

result nvmlGpmSampleGet(device *asked, gpm_sample *sample) {
    result code = check(asked, LACKS_GPM);
    if (code != SUCCESS) return code;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sample->taken = (u64)now.tv_sec * 1000000000ULL + (u64)now.tv_nsec;
    sample->gpu = *of(asked);
    return SUCCESS;
}

result nvmlGpmMetricsGet(gpm_request *asked) {
    result code = alive();
    if (code != SUCCESS) return code;
    if (asked->version != 1) return ARGUMENT_VERSION_MISMATCH;
    if (!asked->first || !asked->second || !asked->first->taken || asked->first->taken >= asked->second->taken) return INVALID_ARGUMENT;
    const gpu_state *gpu = &asked->second->gpu;
    for (unsigned at = 0; at < asked->count; at++) {
        gpm_metric *metric = &asked->metric[at];
        metric->code = SUCCESS;
        if (metric->id == 2) metric->value = gpu->sm_active_permille / 10.0;
        else if (metric->id == 3) metric->value = gpu->sm_occupancy_permille / 10.0;
        else if (metric->id == 5) metric->value = gpu->tensor_active_permille / 10.0;
        else if (metric->id == 10) metric->value = gpu->memory_active_permille / 10.0;
        else metric->code = NOT_SUPPORTED;
    }
    return SUCCESS;
}

/* MIG */

result nvmlDeviceGetMigMode(device *asked, unsigned *now, unsigned *pending) {
    result code = check(asked, LACKS_MIG);
    if (code == SUCCESS) *now = *pending = of(asked)->mig;
    return code;
}

result nvmlDeviceGetMaxMigDeviceCount(device *asked, unsigned *count) {
    result code = check(asked, 0);
    if (code == SUCCESS) *count = of(asked)->lacks & LACKS_MIG ? 0 : MIG_MAX;
    return code;
}

result nvmlDeviceGetMigDeviceHandleByIndex(device *asked, unsigned index, device **found) {
    result code = check(asked, LACKS_MIG);
    if (code != SUCCESS) return code;
    if (!of(asked)->mig || index >= of(asked)->migs) return NOT_FOUND;
    *found = &migs[asked->gpu][index];
    return SUCCESS;
}

result nvmlDeviceIsMigDeviceHandle(device *asked, unsigned *is) {
    *is = asked && asked->mig >= 0;
    return check(asked, 0);
}

result nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device *asked, device **found) {
    result code = check(asked, 0);
    if (code == SUCCESS) *found = &gpus[asked->gpu];
    return code;
}

result nvmlDeviceGetGpuInstanceId(device *asked, unsigned *instance) {
    result code = check(asked, 0);
    if (code != SUCCESS) return code;
    if (asked->mig < 0) return NOT_SUPPORTED;
    *instance = of(asked)->mig_devices[asked->mig].instance;
    return SUCCESS;
}

result nvmlDeviceGetComputeInstanceId(device *asked, unsigned *instance) {
    result code = check(asked, 0);
    *instance = 0;
    return code == SUCCESS && asked->mig < 0 ? NOT_SUPPORTED : code;
}

/* Processes */

result nvmlDeviceGetComputeRunningProcesses_v3(device *asked, unsigned *count, process_info *found) {
    result code = check(asked, LACKS_PROCESSES);
    if (code != SUCCESS) return code;
    const gpu_state *gpu = of(asked);
    if (*count < gpu->processes || (gpu->processes && !found)) {
        *count = gpu->processes;
        return INSUFFICIENT_SIZE;
    }
    for (unsigned at = 0; at < gpu->processes; at++) {
        const process_state *each = &gpu->process[at];
        found[at] = (process_info){each->pid, each->memory, each->instance, each->instance == ~0U ? ~0U : 0};
    }
    *count = gpu->processes;
    return SUCCESS;
}

result nvmlDeviceGetGraphicsRunningProcesses_v3(device *asked, unsigned *count, process_info *found) {
    (void)found;
    *count = 0;
    return check(asked, LACKS_PROCESSES);
}

/* Events */

enum { SINGLE_BIT = 1, DOUBLE_BIT = 2, XID = 8 };

result nvmlDeviceGetSupportedEventTypes(device *asked, u64 *types) {
    *types = SINGLE_BIT | DOUBLE_BIT | XID;
    return check(asked, 0);
}

result nvmlEventSetCreate(event_set **set) {
    result code = alive();
    if (code != SUCCESS) return code;
    *set = calloc(1, sizeof **set);
    (*set)->seen = state->events_written;
    return SUCCESS;
}

result nvmlEventSetFree(event_set *set) {
    free(set);
    return SUCCESS;
}

result nvmlDeviceRegisterEvents(device *asked, u64 types, event_set *set) {
    result code = check(asked, 0);
    if (code == SUCCESS) set->mask[asked->gpu] |= types;
    return code;
}

static int take_event(event_set *set, event_data *found) {
    while (set->seen < __atomic_load_n(&state->events_written, __ATOMIC_ACQUIRE)) {
        const event_state *event = &state->event[set->seen++ % EVENTS_MAX];
        if (event->gpu < state->gpus && set->mask[event->gpu] & event->type) {
            *found = (event_data){&gpus[event->gpu], event->type, event->data, ~0U, ~0U};
            return 1;
        }
    }
    return 0;
}

result nvmlEventSetWait_v2(event_set *set, event_data *found, unsigned milliseconds) {
    for (unsigned waited = 0;; waited++) {
        result code = alive();
        if (code != SUCCESS) return code;
        if (take_event(set, found)) return SUCCESS;
        if (waited >= milliseconds) return TIMEOUT;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}
