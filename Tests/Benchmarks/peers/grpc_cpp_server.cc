// gRPC C++, callback API: /quire.v1.BlockPool/Allocate over blocks that are handed out in order.
//
//   grpc_cpp_server BLOCKS     prints its address, then serves until SIGTERM

#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "quire/v1/block_pool.grpc.pb.h"

class Pool final : public quire::v1::BlockPool::CallbackService {
 public:
  explicit Pool(uint32_t blocks) : blocks_(blocks) {}

  grpc::ServerUnaryReactor* Allocate(grpc::CallbackServerContext* context,
                                     const quire::v1::AllocateRequest* request,
                                     quire::v1::AllocateReply* reply) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const uint32_t count = request->allocate().count();
    bool fits;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      fits = count > 0 && count <= blocks_ - taken_;
      if (fits) {
        reply->set_revision(++revision_);
        for (uint32_t index = 0; index < count; index++) reply->add_block_ids(++taken_);
        reply->set_available_blocks(blocks_ - taken_);
      }
    }
    reactor->Finish(fits ? grpc::Status::OK
                         : grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the pool is full"));
    return reactor;
  }

  uint32_t taken() {
    std::lock_guard<std::mutex> lock(mutex_);
    return taken_;
  }

 private:
  std::mutex mutex_;
  const uint32_t blocks_;
  uint32_t taken_ = 0;
  uint64_t revision_ = 0;
};

int main(int count, char** arguments) {
  const long blocks = count == 2 ? std::atol(arguments[1]) : 0;
  if (blocks <= 0) {
    std::fprintf(stderr, "usage: grpc_cpp_server BLOCKS\n");
    return 2;
  }
  // For sigwait below; the library's threads inherit it.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  Pool pool(static_cast<uint32_t>(blocks));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&pool);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::printf("listening on 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int number;
  sigwait(&ending, &number);
  server->Shutdown(std::chrono::system_clock::now());
  std::fprintf(stderr, "allocated_blocks=%u\n", pool.taken());
}
