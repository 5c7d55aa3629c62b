"""Who may do what: users, organizations, memberships, API tokens."""
