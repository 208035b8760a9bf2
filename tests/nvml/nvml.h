/* The state of the test's management library: a file that the library maps and a test writes while a process reads it.
 *
 * `simulator.py` has the same layout; the library refuses a file whose size differs.
 */
#ifndef LINESHAFT_TEST_NVML_H
#define LINESHAFT_TEST_NVML_H

#include <stdint.h>

enum { GPUS_MAX = 16, LINKS_MAX = 18, MIG_MAX = 7, PROCESSES_MAX = 8, EVENTS_MAX = 64 };

#define STATE_MAGIC 0x4c494e4553484146ULL

/* What a GPU does not have, in `gpu_state.lacks`: asked for it, it answers 'not supported'. */
enum {
    LACKS_GPM = 1,
    LACKS_ECC = 2,
    LACKS_REMAPPING = 4,
    LACKS_NVLINK = 8,
    LACKS_POWER = 16,
    LACKS_MIG = 32,
    LACKS_PROCESSES = 64,
    LACKS_MEMORY = 128, /* it shares the host's */
    LACKS_UTILISATION = 256,
};

typedef struct {
    uint32_t instance, slices, memory_mib, used_mib;
} mig_state;

typedef struct {
    uint32_t pid, instance;
    uint64_t memory;
} process_state;

typedef struct {
    uint32_t code; /* what every call on it returns; 0 while it answers, 15 once it is lost */
    uint32_t lacks;
    uint32_t busy_percent, memory_busy_percent;
    uint32_t sm_active_permille, sm_occupancy_permille, tensor_active_permille, memory_active_permille;
    uint32_t temperature_c, memory_temperature_c, power_mw, power_limit_mw, sm_mhz, memory_mhz;
    uint32_t remapped_correctable, remapped_uncorrectable, remap_pending, remap_failed;
    uint32_t mig, migs, processes, unused;
    uint64_t throttle, memory_used, energy_mj;
    uint64_t ecc_corrected, ecc_uncorrected, ecc_uncorrected_lifetime;
    uint64_t link_crc_errors, link_replays, link_recoveries;
    uint32_t link_up[LINKS_MAX];
    mig_state mig_devices[MIG_MAX];
    process_state process[PROCESSES_MAX];
} gpu_state;

typedef struct {
    uint64_t type, data;
    uint32_t gpu, unused;
} event_state;

typedef struct {
    uint64_t magic, memory_total, memory_reserved;
    uint64_t generation; /* grows when the driver is loaded again: what was opened before is dead then */
    uint64_t calls, opened, events_written;
    uint32_t code; /* what opening returns, and every call once it is not 0 */
    uint32_t gpus, links, unused;
    char name[64], driver[32];
    event_state event[EVENTS_MAX];
    gpu_state gpu[GPUS_MAX];
} machine_state;

#endif
