#include "engine/admin/shrink.h"

#include "engine/admin/read_only_device.h"

namespace cowfs::admin {

namespace {

Task<Status> open_and_vacate(fs::FilesystemState* state, u64 bucket_count, ChunksDone progress) {
  const Status opened = co_await state->open();
  if (!opened) {
    co_await state->abandon();
    co_return opened;
  }
  const auto tell = [progress = std::move(progress)](u64 done, u64 total) {
    if (progress) progress(done, total);
    return true;
  };
  fs::FilesystemState::VacateProgress all_of_it = tell;
  const Status vacated = co_await state->vacate(bucket_count, std::move(all_of_it));
  const Status closed = co_await state->close();
  co_return vacated ? closed : vacated;
}

}  // namespace

Task<Status> check_fits(pool::Assembled* assembled, u64 bucket_count) {
  RecoveredState recovered(*assembled->device, assembled->superblock);
  Status fits = co_await recovered.open();
  if (fits) {
    const u64 bytes = co_await recovered.state().bytes_too_many(bucket_count);
    if (bytes > 0) fits = Error{Code::space_still_needed, bytes};
  }
  co_await recovered.close();
  co_return fits;
}

Task<Status> vacate_space(pool::Assembled* assembled, u64 bucket_count, ChunksDone progress) {
  fs::FilesystemSettings settings;
  settings.core.cache_bytes = 16 * mib;
  settings.core.populate_cache = false;
  const std::vector<device::Device*> devices{assembled->device};
  fs::FilesystemState state(assembled->superblock, devices, 1, settings);
  const Status vacated = co_await open_and_vacate(&state, bucket_count, std::move(progress));
  co_return vacated;
}

}  // namespace cowfs::admin
