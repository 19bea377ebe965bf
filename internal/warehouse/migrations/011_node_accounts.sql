-- Which account events named beside a person's node: what a person's account is guessed from where nothing states it.
CREATE TABLE IF NOT EXISTS node_accounts (
    node         UInt64,
    account_node UInt64,
    last_at      SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (node, account_node)
SETTINGS non_replicated_deduplication_window = 10000
