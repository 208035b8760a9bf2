"""Who runs where and when: pure policy, no input or output."""
