"""Projects the topic `profiles` into the stores that answer reads: profiles by id, memberships by segment; and the
topic `events` into the ids by which a profile is found.

One loop for each store, with its own consumer group, so that a store that is away stops neither the other nor the job.
"""
