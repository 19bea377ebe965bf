-- Of a receipt that stated facts only: the nodes of its person, by which it is found when the person is to be forgotten.
ALTER TABLE receipt_fates ADD COLUMN IF NOT EXISTS nodes Array(UInt64)
