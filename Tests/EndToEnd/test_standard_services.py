"""grpc.health.v1 and grpc.reflection, as stock tools use them."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from quire_client import MODULES, PATIENCE, refused

QUIRE = {"quire.v1." + name for name in MODULES}
STANDARD = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
SERVING = health_pb2.HealthCheckResponse.SERVING


def ask(channel, version, *requests):
    """One answer per request. The messages of v1 and v1alpha are the same on the wire."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [reflection_pb2.ServerReflectionRequest(**request) for request in requests]
    answers = list(call(iter(questions), timeout=PATIENCE))
    assert [answer.original_request for answer in answers] == questions
    return answers


@pytest.fixture(params=["v1", "v1alpha"])
def version(request):
    return request.param


def test_every_service_is_listed(any_client, version):
    (answer,) = ask(any_client.channel, version, dict(list_services=""))
    listed = [service.name for service in answer.list_services_response.service]
    assert set(listed) == QUIRE | STANDARD and len(listed) == len(set(listed))


def test_every_listed_service_is_described_as_in_protos(any_client, version):
    for name in sorted(QUIRE | STANDARD):
        (answer,) = ask(any_client.channel, version, dict(file_containing_symbol=name))
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(file)
            for file in answer.file_descriptor_response.file_descriptor_proto
        ]
        pool = descriptor_pool.DescriptorPool()
        # Imports in whatever order they come.
        waiting = {file.name: file for file in files}
        while waiting:
            ready = [f for f in waiting.values() if not set(f.dependency) & set(waiting)]
            assert ready, "imports are missing"
            for file in ready:
                pool.Add(file)
                del waiting[file.name]
        service = pool.FindServiceByName(name)
        assert service.methods
        for method in service.methods:
            assert method.input_type.full_name and method.output_type.full_name
        if name in QUIRE:
            module = MODULES[name.rsplit(".", 1)[1]][0]
            (served,) = [f for f in files if f.name == module.DESCRIPTOR.name]
            assert without_json_names(served) == without_json_names(
                descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))


def without_json_names(file):
    """Generators for Python leave them out; they follow from the names."""
    def strip(message):
        for field in message.field:
            field.ClearField("json_name")
        for nested in message.nested_type:
            strip(nested)

    for message in file.message_type:
        strip(message)
    return file


def test_the_stock_reflection_client_finds_the_types(any_client):
    database = ProtoReflectionDescriptorDatabase(any_client.channel)
    assert QUIRE <= set(database.get_services())
    pool = descriptor_pool.DescriptorPool(database)
    step = pool.FindServiceByName("quire.v1.Scheduler").FindMethodByName("Step")
    assert step.input_type.full_name == "quire.v1.StepRequest"
    assert pool.FindMessageTypeByName("quire.v1.Stats").fields_by_name["free_blocks"].number == 4


def test_files_and_symbols_of_every_kind_are_found(client, version):
    answers = ask(
        client.channel, version,
        dict(file_by_filename="quire/v1/types.proto"),
        dict(file_containing_symbol="quire.v1.Call"),
        dict(file_containing_symbol="quire.v1.Call.pool"),
        dict(file_containing_symbol="quire.v1.RefusalReason"),
        dict(file_containing_symbol="quire.v1.REFUSAL_REASON_LATER"),
        dict(file_containing_symbol="quire.v1.Scheduler.Step"),
    )
    names = []
    for answer in answers:
        files = answer.file_descriptor_response.file_descriptor_proto
        names.append([descriptor_pb2.FileDescriptorProto.FromString(f).name for f in files])
    assert all("quire/v1/types.proto" in found for found in names)
    assert "quire/v1/scheduler.proto" in names[-1]


def test_what_is_not_found_is_told_in_band_and_the_stream_goes_on(client, version):
    answers = ask(
        client.channel, version,
        dict(file_containing_symbol="quire.v1.Nothing"),
        dict(file_by_filename="nothing.proto"),
        dict(list_services="*"),
    )
    codes = [answer.error_response.error_code for answer in answers[:2]]
    assert codes == [grpc.StatusCode.NOT_FOUND.value[0]] * 2
    assert answers[2].list_services_response.service


def health(client, service):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(client.channel).Check(request, timeout=PATIENCE).status


def test_the_server_and_each_service_are_serving(any_client):
    for service in ["", *sorted(QUIRE)]:
        assert health(any_client, service) == SERVING


def test_the_health_of_everything_is_listed(any_client):
    stub = health_pb2_grpc.HealthStub(any_client.channel)
    statuses = stub.List(health_pb2.HealthListRequest(), timeout=PATIENCE).statuses
    assert {"", *QUIRE} <= set(statuses)
    assert {answer.status for answer in statuses.values()} == {SERVING}


def test_the_health_of_an_unknown_service_is_not_found(any_client):
    with refused(grpc.StatusCode.NOT_FOUND):
        health(any_client, "quire.v1.Nothing")


def watch(client, service):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(client.channel).Watch(request)


def test_a_watcher_is_told_at_once(any_client):
    for service, status in [
        ("", SERVING),
        ("quire.v1.Scheduler", SERVING),
        ("quire.v1.Nothing", health_pb2.HealthCheckResponse.SERVICE_UNKNOWN),
    ]:
        call = watch(any_client, service)
        assert next(call).status == status
        assert call.is_active()
        call.cancel()
