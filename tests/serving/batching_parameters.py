"""TF Serving's `BatchingParameters`, which tensorflow-serving-api does not contain.

Its fields are those of tensorflow_serving/servables/tensorflow/
session_bundle_config.proto.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf import wrappers_pb2 as _wrappers

FIELDS = (
    ("max_batch_size", ".google.protobuf.Int64Value"),
    ("batch_timeout_micros", ".google.protobuf.Int64Value"),
    ("max_enqueued_batches", ".google.protobuf.Int64Value"),
    ("num_batch_threads", ".google.protobuf.Int64Value"),
    ("thread_pool_name", ".google.protobuf.StringValue"),
    ("allowed_batch_sizes", descriptor_pb2.FieldDescriptorProto.TYPE_INT64),
    ("pad_variable_length_inputs", descriptor_pb2.FieldDescriptorProto.TYPE_BOOL),
)
REPEATED = {"allowed_batch_sizes"}


def _make_class():
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[_wrappers.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in enumerate(FIELDS, 1):
        field = message.field.add(name=name, number=number)
        field.label = field.LABEL_REPEATED if name in REPEATED else field.LABEL_OPTIONAL
        if isinstance(kind, str):
            field.type, field.type_name = field.TYPE_MESSAGE, kind
        else:
            field.type = kind
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    )


BatchingParameters = _make_class()
