-- First-touch and last-touch credit, 90 days back for what a person counts and 365 for what a deal counts.
CREATE OR REPLACE VIEW v_credit AS
SELECT * FROM p_credit(lead_days = 90, deal_days = 365)
