"""Which team a charge belongs to: `allocation/{org}.yml`, or `system/allocation.yml` for orgs without a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from convergence.config.files.model_bases import Closed, Texts
from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.positions import KeyPath
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigErrors

FILE: Final = "system/allocation.yml"
FOLDER: Final = "allocation"
SUFFIXES: Final = (".yml", ".yaml")
_NO_PART: Final = re.compile(r"^user[:_]|[^a-z0-9]")


def plain_key(name: str) -> str:
    """Return a tag's name as names are compared: without case, signs and AWS's prefix `user`."""
    return _NO_PART.sub("", name.lower())


def _is_day(text: str) -> str:
    date.fromisoformat(text)
    return text


def _is_tag(name: str) -> str:
    if not plain_key(name):
        raise ValueError(f"the tag {name!r} has no letter or digit by which it could be found")
    return name


_Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_is_day)]
_Tag = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_is_tag)]
_Team = Annotated[str, Field(min_length=1, max_length=300)]
Method = Literal["team", "tag", "hierarchy", "share", "usage"]


class When(Closed):
    """The charges that a rule applies to: those that have one of the values of every key."""

    providers: Texts = ()  # x_Provider
    services: Texts = ()  # ServiceName
    accounts: Texts = ()  # BillingAccountId
    projects: Texts = ()  # SubAccountId
    tags: Mapping[_Tag, Texts] = Field(default_factory=dict)  # without values: any value

    @model_validator(mode="after")
    def _tags_differ(self) -> When:
        names: dict[str, str] = {}
        for name in self.tags:
            if (first := names.setdefault(plain_key(name), name)) != name:
                raise ValueError(
                    f"the tags {first} and {name} are the same name: names of tags are compared without case,"
                    " punctuation and the"
                    f" prefix user; give {first} the values of both"
                )
        return self

    def asked(self) -> dict[str, tuple[str, ...]]:
        """Return the values of each fact that a charge must have; none for any value."""
        plain = {"provider": self.providers, "service": self.services, "account": self.accounts}
        named = {name: values for name, values in {**plain, "project": self.projects}.items() if values}
        return named | {f"tag:{plain_key(name)}": values for name, values in self.tags.items()}


class Shares(Closed):
    """The share of each team, as an integer; the rest of `of` belongs to no team."""

    teams: Annotated[Mapping[_Team, Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=500)]
    of: int = Field(default=100, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _not_more_than_all(self) -> Shares:
        total = sum(self.teams.values())
        if total > self.of:
            raise ValueError(f"the shares of the teams add up to {total}, more than {self.of} (key `of`)")
        return self


class Usage(Closed):
    """The usage of the teams, in one unit, in the charges that other rules give to a team as a whole."""

    unit: str = Field(min_length=1, max_length=100)  # ConsumedUnit
    providers: Texts = ()
    services: Texts = ()


class AllocationRule(Closed):
    """Charges, and the team or teams that they belong to. `from` and `to`: first and last day of the rule."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    from_: _Day = Field(default="0001-01-01", alias="from")
    to: _Day = "9999-12-31"
    when: When = When()
    team: _Team | None = None
    team_of_tag: _Tag | None = None
    team_of_hierarchy: Literal[True] | None = None
    split_by_share: Shares | None = None
    split_by_usage: Usage | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> AllocationRule:
        if sum(given is not None for given in self._ways().values()) != 1:
            raise ValueError(
                f"the rule {self.name} must have exactly one of team, team_of_tag, team_of_hierarchy, split_by_share"
                " and split_by_usage"
            )
        if self.from_ > self.to:
            raise ValueError(f"the rule {self.name} ends on {self.to}, before it begins on {self.from_}")
        return self

    @property
    def method(self) -> Method:
        """How it finds the team."""
        return next(method for method, given in self._ways().items() if given is not None)

    @property
    def takes_everything(self) -> bool:
        """Whether no charge of its days is left for the rules after it."""
        return not self.when.asked() and self.method not in ("tag", "hierarchy")

    def _ways(self) -> dict[Method, object]:
        return {
            "team": self.team,
            "tag": self.team_of_tag,
            "hierarchy": self.team_of_hierarchy,
            "share": self.split_by_share,
            "usage": self.split_by_usage,
        }


class Allocation(Closed):
    """Rules of allocation: the first one that matches a charge and day counts."""

    allocation: Annotated[tuple[AllocationRule, ...], Field(strict=False, max_length=200)] = ()

    @model_validator(mode="after")
    def _rules_differ(self) -> Allocation:
        names = [rule.name for rule in self.allocation]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the names of rules must differ: {', '.join(twice)}")
        return self


def load_allocation(configs_dir: Path, org: str) -> Allocation:
    """Return the rules for an org. Raises `ConfigErrors` with the mistakes of the file."""
    for own in (Path(FOLDER) / f"{org}{suffix}" for suffix in SUFFIXES):
        if (configs_dir / own).exists():
            return read_allocation(configs_dir / own, own.as_posix())
    return read_allocation(own_or_shipped(configs_dir, FILE), FILE)


def read_allocation(file: Path, name: str) -> Allocation:
    """Return what a file says. `name` is the one in messages. Raises `ConfigErrors`."""
    source = read_yaml(file.read_bytes(), name)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        found = Allocation.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error
    problems = [source.positions.problem(path, message) for path, message in _useless(found.allocation)]
    if problems:
        raise ConfigErrors(problems)
    return found


def _useless(rules: tuple[AllocationRule, ...]) -> Iterator[tuple[KeyPath, str]]:
    """Yield rules that can never give a charge to anyone."""
    whole = any(rule.method in ("team", "tag", "hierarchy") for rule in rules)
    for number, rule in enumerate(rules):
        path: KeyPath = ("allocation", number)
        if rule.method == "usage" and not whole:
            yield (
                (*path, "split_by_usage"),
                f"the rule {rule.name} splits by the teams' usage, but no rule gives charges to a team as a whole",
            )
        for earlier in rules[:number]:
            if earlier.takes_everything and earlier.from_ <= rule.from_ and rule.to <= earlier.to:
                yield path, f"the rule {rule.name} never applies: {earlier.name} before it takes all charges"
                break
