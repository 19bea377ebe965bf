-- Owners of records: to whom v_accounts.owner and a deal's owner_id point.
CREATE OR REPLACE VIEW v_crm_owners AS
SELECT account, owner, user, email_sha256, teams, archived AS is_gone, read_at
FROM crm_owners FINAL
