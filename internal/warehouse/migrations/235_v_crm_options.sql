-- What the values of lists are called: lead statuses, deal types, and what else the mapping reads.
CREATE OR REPLACE VIEW v_crm_options AS
SELECT account, object, property, value, label, read_at
FROM crm_options FINAL
