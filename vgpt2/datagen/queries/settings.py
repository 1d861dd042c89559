"""Shares of the questions for SQL: how they are asked, what stands before them and how they are answered."""

from __future__ import annotations

from vgpt2.config import Count, Part, Share


class QuerySettings(Part):
    """Shares are of the chats where nothing else is said."""

    plan: Share = 0.6
    """answers that begin with the query's plan; the others are the SQL alone, asked for by a phrase"""
    plan_tokens: Count = 120
    """at most, for such a plan: 40 for models under half a billion parameters"""
    schema_text: Share = 0.62
    """chats with a schema text in the prompt"""
    retrieved: Share = 0.25
    """of these, with what retrieval finds for the question; the others with objects that stand near those needed, which takes less time"""
    create_table: Share = 0.17
    """of those with a schema text, in CREATE TABLE statements"""
    by_name: Share = 0.16
    """questions that call columns and tables by their names"""
    mixed: Share = 0.12
    """questions that call tables by words and columns by names"""
    absent: Share = 0.115
    """questions that ask for something that the database or the prompt lacks"""
    unclear: Share = 0.07
    """questions that two or three things fit"""
    off_topic: Share = 0.01
    """questions about something else"""
    followed: Share = 0.3
    """chats that go on after a turn"""
    other_subject: Share = 0.34
    """of the further turns, those about something else"""
    typo: Share = 0.03
    """questions with a slip of the keyboard"""
