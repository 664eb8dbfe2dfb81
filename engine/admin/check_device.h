// The check of tools.h on any device: what programs run on a file, the simulator runs on a crash image.
#pragma once
#include "engine/admin/tools.h"
#include "engine/device/device.h"
#include "engine/pool/assemble.h"
#include "engine/runtime/task.h"

namespace cowfs::admin {

// On the only core of its runtime; `device` is not mounted and outlives the call. Errors: as check().
runtime::Task<Result<CheckReport>> check_device(device::Device& device, CheckOptions options);
// Of one device or several, which outlive the call; who is absent is noted.
runtime::Task<Result<CheckReport>> check_assembled(const pool::Assembled& assembled, CheckOptions options);

}  // namespace cowfs::admin
