#include "harness/uring_files.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "harness/ready_task.h"
#include "harness/round_phases.h"

namespace cowbench::harness {
namespace {

constexpr u64 second_ns = 1'000'000'000;

// Completions run when we ask for them, so nothing interrupts a lane; older kernels do without.
int make_ring(u32 entries, io_uring& ring) {
  for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0u}) {
    io_uring_params parameters = {};
    parameters.flags = flags;
    const int made = io_uring_queue_init_params(entries, &ring, &parameters);
    if (made != -EINVAL) return made;
  }
  return -EINVAL;
}

void allow_locked_memory() {
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);  // where it is refused, registering says so
}

}  // namespace

Outcome<std::unique_ptr<UringFiles>> UringFiles::create(std::vector<OpenedFile> files, MutableByteSpan memory, u32 depth) {
  std::unique_ptr<UringFiles> made(new UringFiles);
  made->files_ = std::move(files);
  if (const int error = make_ring(std::max(depth, 8u), made->ring_); error < 0) return system_failure("make an io_uring", -error);
  made->ring_made_ = true;
  std::vector<int> descriptors;
  for (const OpenedFile& file : made->files_) descriptors.push_back(file.descriptor);
  const int registered = io_uring_register_files(&made->ring_, descriptors.data(), static_cast<unsigned>(descriptors.size()));
  if (registered < 0) return system_failure("register files with io_uring", -registered);
  allow_locked_memory();
  const iovec whole = {memory.data(), memory.size()};
  if (const int fixed = io_uring_register_buffers(&made->ring_, &whole, 1); fixed < 0)
    return system_failure("register buffers with io_uring", -fixed);
  io_uring_register_ring_fd(&made->ring_);  // saves a look-up a call where the kernel has it
  return made;
}

UringFiles::~UringFiles() {
  if (ring_made_) io_uring_queue_exit(&ring_);
  for (const OpenedFile& file : files_) close(file.descriptor);
}

void UringFiles::prepare(Operation& operation) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  assert(entry != nullptr);  // one operation a lane, and the ring has room for all
  const int file = static_cast<int>(operation.file);
  const u64 offset = files_[operation.file].base + operation.offset;
  const unsigned bytes = static_cast<unsigned>(operation.bytes);
  switch (operation.call) {
    case Call::read: io_uring_prep_read_fixed(entry, file, operation.data, bytes, offset, 0); break;
    case Call::write: io_uring_prep_write_fixed(entry, file, operation.data, bytes, offset, 0); break;
    case Call::trim:
      io_uring_prep_fallocate(entry, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                              static_cast<off_t>(operation.bytes));
      break;
    case Call::fsync: io_uring_prep_fsync(entry, file, 0); break;
    case Call::fdatasync: io_uring_prep_fsync(entry, file, IORING_FSYNC_DATASYNC); break;
  }
  entry->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data(entry, &operation);
  ++in_flight_;
}

int UringFiles::wait() {
  const unsigned wanted = in_flight_ > 0 ? 1 : 0;
  if (sleepers_.empty()) return io_uring_submit_and_wait(&ring_, wanted);
  const u64 now = monotonic_ns();
  const u64 left = sleepers_.top().deadline_ns > now ? sleepers_.top().deadline_ns - now : 0;
  __kernel_timespec timeout = {static_cast<long long>(left / second_ns), static_cast<long long>(left % second_ns)};
  io_uring_cqe* answered = nullptr;
  const int waited = io_uring_submit_and_wait_timeout(&ring_, &answered, 1, &timeout, nullptr);
  return waited == -ETIME ? 0 : waited;
}

void UringFiles::resume_answered() {
  while (true) {
    io_uring_cqe* answer = nullptr;
    if (io_uring_peek_cqe(&ring_, &answer) != 0) return;
    auto* operation = static_cast<Operation*>(io_uring_cqe_get_data(answer));
    operation->result = answer->res;
    io_uring_cqe_seen(&ring_, answer);
    --in_flight_;
    operation->waiter.resume();
  }
}

void UringFiles::resume_due() {
  if (sleepers_.empty()) return;
  const u64 now = monotonic_ns();
  while (!sleepers_.empty() && sleepers_.top().deadline_ns <= now) {
    const std::coroutine_handle<> lane = sleepers_.top().lane;
    sleepers_.pop();
    lane.resume();
  }
}

Action UringFiles::run(cowfs::runtime::Task<void> task) {
  bool ended = false;
  internal::start(task, ended);
  while (!ended) {
    const int waited = wait();
    if (waited < 0 && waited != -EINTR && waited != -EAGAIN && waited != -EBUSY)
      return system_failure("submit to io_uring", -waited);
    resume_answered();
    resume_due();
  }
  return Done{};
}

}  // namespace cowbench::harness
