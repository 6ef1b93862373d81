from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_DONE: _ClassVar[Verdict]
    VERDICT_CHECK_FAILED: _ClassVar[Verdict]
    VERDICT_NOT_ENOUGH_SEEN: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_DONE: Verdict
VERDICT_CHECK_FAILED: Verdict
VERDICT_NOT_ENOUGH_SEEN: Verdict

class AskRequest(_message.Message):
    __slots__ = ("question", "subject", "window")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    question: str
    subject: str
    window: _duration_pb2.Duration
    def __init__(self, question: _Optional[str] = ..., subject: _Optional[str] = ..., window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("answer_json", "verdict")
    ANSWER_JSON_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    answer_json: str
    verdict: Verdict
    def __init__(self, answer_json: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("form",)
    FORM_FIELD_NUMBER: _ClassVar[int]
    form: str
    def __init__(self, form: _Optional[str] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("media_type", "content", "etag")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    content: bytes
    etag: str
    def __init__(self, media_type: _Optional[str] = ..., content: _Optional[bytes] = ..., etag: _Optional[str] = ...) -> None: ...
