"""How the content policy says no."""

from __future__ import annotations

from cenoby.kernel.errors import InvalidInput, Refused


class ContentDenied(Refused):
    """The content policy says no to a prompt or to an answer."""

    codes = {
        "content_model_denied": "The model may not see data of this class; details.allowed names those that may.",
        "content_prompt_denied": "The prompt tries to turn the model against its rules; details.categories says how.",
        "content_answer_withheld": "The model's answer holds what may not go on; details.categories says what.",
    }


class ContentInvalid(InvalidInput):
    """What was said to the content policy cannot be understood."""

    codes = {
        "content_class_unknown": "There is no such data class; `content.classes` in the settings declares them.",
        "content_rules_invalid": "A file of model rules cannot be used; the message says where it is wrong.",
    }
