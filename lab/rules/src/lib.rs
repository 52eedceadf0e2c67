//! What Windows forbids: monitors over kernel events.
