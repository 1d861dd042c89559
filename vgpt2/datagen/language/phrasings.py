"""The sentences of the questions: for each kind, those that training may use and those kept for suites.

A template's id is its kind, 't' or 'h' (held out) and its number. Only append: an id names one sentence for ever, in data and in suites.
Slots: {name} for existence, {table} {column} {gloss} for columns, and for SQL {columns} {more} {amount} {group} {rows} {others} {filters},
each already in words or in names. What a question is asked about (a list, a schema text) stands before it, once in a chat.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    id: str
    text: str

    def fill(self, **slots: str) -> str:
        return self.text.format(**slots)


def _numbered(kind: str, mark: str, sentences: tuple[str, ...]) -> tuple[Template, ...]:
    return tuple(Template(f"{kind}-{mark}{number:02d}", text) for number, text in enumerate(sentences, 1))


_TRAINING: dict[str, tuple[str, ...]] = {
    "exists_memory": (
        "Does {name} exist?",
        "Is there a table or view named {name}?",
        "Is {name} a real object in the database?",
        "Can I query {name}?",
        "Do we have a table called {name}?",
        "What is {name}?",
        "Describe the {name} table.",
        "Is {name} a valid name here?",
        "I want to report from {name}. Is it there?",
        "Tell me whether {name} is real.",
        "A colleague mentioned {name}. Does that exist?",
        "Check the name {name} for me.",
        "Would FROM {name} run without an error?",
        "What does {name} hold?",
    ),
    "exists_list": (
        "Does {name} exist?",
        "Is there one named {name}?",
        "Can I query {name}?",
        "Is {name} one of them?",
        "Is {name} a real table or view?",
        "Describe {name}.",
        "My query reads from {name}. Is that name right?",
        "Somebody told me to use {name}. Does it exist?",
        "Do we have {name}?",
        "Check {name} against them.",
        "Tell me whether {name} exists.",
        "Would FROM {name} be correct?",
        "What about {name}?",
        "Is it true that there is a table {name}?",
    ),
    "has_column": (
        "Does {table} have a column {column}?",
        "Is there a column named {column}?",
        "Can I select {column} from {table}?",
        "Does the column {column} exist in {table}?",
        "Is {column} one of them?",
        "My query uses {table}.{column}. Is that right?",
        "Tell me whether {table} holds {column}.",
        "I need {column}. Does {table} have it?",
        "Is SELECT {table}.{column} correct?",
        "Check the column name {column} for me.",
        "What does {column} of {table} hold?",
        "Describe {table}.{column}.",
        "Can I filter {table} by {column}?",
    ),
    "which_column": (
        "Which column of {table} holds the {gloss}?",
        "Where does {table} keep the {gloss}?",
        "I need the {gloss} from {table}. Which column is it?",
        "What is the {gloss} called in {table}?",
        "Name the column of {table} for the {gloss}.",
        "In {table}, what column should I select for the {gloss}?",
        "The report needs the {gloss}. Give me the column of {table}.",
        "How do I get the {gloss} out of {table}?",
        "Find the {gloss} in {table}.",
        "Which field of {table} stores the {gloss}?",
        "Looking at {table}: where is the {gloss}?",
        "Tell me the column name of the {gloss} in {table}.",
    ),
    "sql_select": (
        "List {columns} from {rows} for {filters}.",
        "Show me {columns} from {rows} with {filters}.",
        "I need {columns} of all {rows} for {filters}.",
        "Get {columns} from {rows}, only for {filters}.",
        "Write a query for {columns} of {rows} where we have {filters}.",
        "What are {columns} of the {rows} for {filters}?",
        "For {filters}: {columns} from {rows}.",
        "Pull {columns} out of {rows} limited to {filters}.",
        "Can you give me {columns} from {rows} for {filters}?",
        "A report on {rows} for {filters}, with {columns}.",
        "Select {columns} from {rows}; restrict it to {filters}.",
        "We want to see {columns} in {rows} for {filters}.",
    ),
    "sql_count": (
        "How many {rows} are there for {filters}?",
        "Count the {rows} for {filters}.",
        "What is the number of {rows} with {filters}?",
        "For {filters}, how many {rows} do we have?",
        "Give me a count of {rows} limited to {filters}.",
        "I want to know how many {rows} exist for {filters}.",
        "Number of {rows} for {filters}, please.",
        "Write a query that counts {rows} for {filters}.",
        "Tell me how many {rows} belong to {filters}.",
        "Can you count {rows}, only for {filters}?",
        "Total number of {rows} where we have {filters}?",
        "Report the count of {rows} restricted to {filters}.",
    ),
    "sql_total": (
        "What is the total {amount} of {rows} by {group} for {filters}?",
        "Sum {amount} of {rows} per {group} for {filters}.",
        "Show the total {amount} for each {group} in {rows} for {filters}.",
        "I need {amount} of {rows} added up by {group}, for {filters}.",
        "For {filters}, total {amount} of {rows} by {group}.",
        "Give me {amount} summed per {group} from {rows} with {filters}.",
        "Write a query that totals {amount} of {rows} by {group}, only for {filters}.",
        "How much is {amount} in total per {group} of {rows} for {filters}?",
        "Report of {rows} for {filters}: {amount} by {group}, summed.",
        "Add up {amount} for every {group} of {rows} limited to {filters}.",
        "Group {rows} by {group} and total {amount} for {filters}.",
        "Can you total {amount} per {group} from {rows} for {filters}?",
    ),
    "sql_join": (
        "List {columns} from {rows} with {more} from {others} for {filters}.",
        "Show {columns} of {rows} together with {more} of {others}, for {filters}.",
        "Join {columns} of {rows} to {more} of {others} for {filters}.",
        "I need {columns} of {rows} and {more} of the matching {others} for {filters}.",
        "For {filters}, give me {columns} from {rows} plus {more} from {others}.",
        "Write a query over {rows} with {columns} and {others} with {more} for {filters}.",
        "Combine {columns} of {rows} with {more} of {others}, only for {filters}.",
        "What are {columns} of {rows} and {more} of their {others} for {filters}?",
        "Get {columns} from {rows}, and {more} from {others}, limited to {filters}.",
        "A report with {columns} of {rows} and {more} of {others} for {filters}.",
        "Pull {columns} out of {rows} and add {more} from {others} for {filters}.",
        "Can you list {columns} of {rows} beside {more} of {others} for {filters}?",
    ),
}

_HELD_OUT: dict[str, tuple[str, ...]] = {
    "exists_memory": (
        "Could {name} be a table in this database?",
        "Look up {name}, please: is it real?",
        "My query uses {name}. Did I spell an existing object?",
        "Is {name} part of the schema?",
        "Explain what {name} is for.",
        "Will a query find an object called {name}?",
        "Have you ever seen {name} in this system?",
        "I was told to start from {name}. Good idea?",
    ),
    "exists_list": (
        "Could {name} be used in a query?",
        "Please verify {name}.",
        "Will a query find {name}?",
        "Is {name} among these?",
        "A report refers to {name}. Did they get that right?",
        "Explain what {name} is.",
        "How sure are we that {name} is there?",
    ),
    "has_column": (
        "Would {table}.{column} run?",
        "Could I sort {table} by {column}?",
        "Verify {column} please.",
        "Somebody wrote {column} in a query on {table}. Fine?",
        "Look for {column} in {table}.",
        "Is there anything called {column} in it?",
    ),
    "which_column": (
        "If I want the {gloss}, what do I read from {table}?",
        "Point me to the {gloss} in {table}.",
        "Under which name does {table} store the {gloss}?",
        "My boss asks for the {gloss}; {table} should have it. Where?",
        "Column for the {gloss} in {table}, please.",
        "How is the {gloss} named inside {table}?",
    ),
    "sql_select": (
        "Please prepare {columns} for every one of the {rows}, {filters} only.",
        "Let me have {columns} as found in {rows} given {filters}.",
        "From {rows} I would like {columns}, filtered on {filters}.",
        "Looking for {columns} in {rows} under {filters}.",
        "Produce a list: {columns} of {rows}, {filters}.",
        "Fetch {columns} belonging to {rows} that match {filters}.",
    ),
    "sql_count": (
        "What count do we get for {rows} given {filters}?",
        "Determine how many {rows} match {filters}.",
        "Is it many? Count of {rows}, {filters} only.",
        "My manager asks how many {rows} we hold under {filters}.",
        "Quantity of {rows} that match {filters}?",
        "Please work out the number of {rows}, filtered on {filters}.",
    ),
    "sql_total": (
        "Please work out {amount} in sum for every {group} in {rows}, {filters} only.",
        "Break {amount} of {rows} down by {group}, as totals, given {filters}.",
        "Totals of {amount} across {rows}, one line for each {group}, matching {filters}.",
        "By {group}, what does {amount} of {rows} come to under {filters}?",
        "Summarise {rows} matching {filters}: {amount} per {group}.",
        "Accumulate {amount} over {rows} for each {group}, filtered on {filters}.",
    ),
    "sql_join": (
        "Bring together {columns} of {rows} and {more} of {others}, {filters} only.",
        "Link {others} to {rows} and display {columns} of the latter, {more} of the former, filtered on {filters}.",
        "Fetch {columns} belonging to {rows} along with {more} belonging to {others}, matching {filters}.",
        "Let me see {more} of {others} next to {columns} of {rows}, given {filters}.",
        "Both are needed, {rows} with {columns} as well as {others} with {more}, under {filters}.",
        "Please prepare {columns} of {rows} and, per row, {more} of {others}, matching {filters}.",
    ),
}

# Lines that hold the objects of a database, or the columns of a table, before the questions: (for training, for suites).
OBJECT_LISTS = (
    (
        "Objects: {list}",
        "Tables and views: {list}",
        "Known objects: {list}",
        "Names in the database: {list}",
        "Here is the object list: {list}",
        "The database has these tables and views: {list}",
    ),
    ("We have: {list}", "Available objects are {list}", "Schema contents: {list}"),
)
COLUMN_LISTS = (
    ("Columns of {table}: {list}", "{table} ({list})", "Table {table} has the columns {list}"),
    ("Fields in {table}: {list}", "Here is {table}: {list}"),
)

TRAINING = {kind: _numbered(kind, "t", sentences) for kind, sentences in _TRAINING.items()}
HELD_OUT = {kind: _numbered(kind, "h", sentences) for kind, sentences in _HELD_OUT.items()}
BY_ID = {template.id: template for table in (TRAINING, HELD_OUT) for templates in table.values() for template in templates}
EXISTENCE_KINDS = ("exists_memory", "exists_list", "has_column")  # of this module's sentences, those that ask whether a name is real


def asks_existence(template: str) -> bool:
    """Whether a kind or a template of it hangs on a name being real: half of its names must not be."""
    return template.startswith(("exists_", "has_column"))


def takes_no_name(template: str) -> bool:
    """Whether a kind or a template of it asks in words alone, so that no name in it could be unreal."""
    return template.startswith("topic_")
