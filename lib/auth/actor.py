"""Who is asking, and what they may do. Services take an `Actor` and call `require`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from lib.errors import Forbidden


class Role(IntEnum):
    """Each role may do all that the one below it may."""

    VIEWER = 1  # looks
    ANALYST = 2  # trains, scores, labels
    OPERATOR = 3  # connects sources, collects, ends other people's tasks
    ADMIN = 4  # users, audit log, settings


class Permission(StrEnum):
    """What a service asks for; the value reads well in 'to …' ."""

    VIEW = "look at metrics and anomalies"
    SAVE_VIEWS = "save views"
    CHAT = "ask in chat"
    CHAT_REMOTE = "send a question to a language model provider"
    TABLES = "look at profiles of files"
    DATASETS = "look at datasets"
    MAKE_DATASETS = "make, change and delete datasets"
    MAKE_PIPELINES = "make, change and delete pipelines"
    DETECT = "train and run detectors"
    LABEL = "label anomalies"
    ASK_SOURCES = "ask a source in PromQL"
    MODELS = "look at models and ask them for predictions"
    TRAIN = "train, upload and test models"
    PROMOTE = "promote models and roll them back"
    RUN_TASKS = "start and cancel their own tasks"
    MANAGE_TASKS = "cancel tasks of others"
    COLLECT = "collect from sources"
    MANAGE_SOURCES = "add, change and remove sources"
    MANAGE_USERS = "manage users"
    MANAGE_SETTINGS = "change settings"
    READ_AUDIT = "read the audit log"


MINIMUM_ROLE: dict[Permission, Role] = {
    Permission.VIEW: Role.VIEWER,
    Permission.SAVE_VIEWS: Role.VIEWER,
    Permission.CHAT: Role.VIEWER,
    Permission.CHAT_REMOTE: Role.VIEWER,
    Permission.TABLES: Role.VIEWER,
    Permission.DATASETS: Role.VIEWER,
    Permission.MAKE_DATASETS: Role.ANALYST,
    Permission.MAKE_PIPELINES: Role.ANALYST,
    Permission.DETECT: Role.ANALYST,
    Permission.LABEL: Role.ANALYST,
    Permission.ASK_SOURCES: Role.ANALYST,
    Permission.MODELS: Role.VIEWER,
    Permission.TRAIN: Role.ANALYST,
    Permission.PROMOTE: Role.OPERATOR,
    Permission.RUN_TASKS: Role.ANALYST,
    Permission.MANAGE_TASKS: Role.OPERATOR,
    Permission.COLLECT: Role.OPERATOR,
    Permission.MANAGE_SOURCES: Role.OPERATOR,
    Permission.MANAGE_USERS: Role.ADMIN,
    Permission.MANAGE_SETTINGS: Role.ADMIN,
    Permission.READ_AUDIT: Role.ADMIN,
}
# A guest looks at the demo and asks the offline engine; nothing they do leaves the machine or stays.
GUEST_PERMISSIONS = frozenset({Permission.VIEW, Permission.CHAT})


class ActorKind(StrEnum):
    USER = "user"  # a signed-in person
    GUEST = "guest"  # "Look around"
    KEY = "api key"
    SYSTEM = "system"  # the scheduler, and the command line of whoever owns the files


@dataclass(frozen=True)
class Actor:
    """id: the users row (None for guests and the system). name: what audit and tasks show."""

    name: str
    role: Role
    kind: ActorKind = ActorKind.USER
    id: int | None = None
    address: str = ""

    def may(self, permission: Permission) -> bool:
        if self.kind is ActorKind.GUEST:
            return permission in GUEST_PERMISSIONS
        return self.role >= MINIMUM_ROLE[permission]

    def require(self, permission: Permission) -> None:
        """Raises Forbidden unless this actor may."""
        if not self.may(permission):
            who = "A guest" if self.kind is ActorKind.GUEST else f"The role {self.role.name.lower()}"
            needed = MINIMUM_ROLE[permission].name.lower()
            raise Forbidden(
                f"{who} may not {permission.value}; it takes the role {needed}.", permission=permission.name
            )


GUEST = Actor("guest", Role.VIEWER, ActorKind.GUEST)
SYSTEM = Actor("system", Role.ADMIN, ActorKind.SYSTEM)
