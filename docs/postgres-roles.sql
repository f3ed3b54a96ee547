-- The roles that trailkeeper needs on PostgreSQL, each with what it uses and nothing more. Run it with psql, as a superuser or as
-- whoever owns QWED's tables and may make roles and databases:
--
--   psql --set qwed=qwed --set state=trailkeeper --file docs/postgres-roles.sql
--
-- It names QWED's database and our own; on two servers, run each part on its own. Then give each role a password (\password ROLE),
-- and the configuration one URL for each:
--
--   trailkeeper          qwed.database_url           reads QWED's database
--   trailkeeper_eraser   erasure.database_url        erases data subjects; only if you erase through trailkeeper
--   trailkeeper_flagger  keys.flag_database_url      marks overdue API keys; only if keys.flag_in_database is true
--   trailkeeper_state    state.url                   owns our own tables
--
-- Leave out tables and columns that your release of QWED does not have, and the roles that you do not use.
\set ON_ERROR_STOP on

CREATE ROLE trailkeeper LOGIN;
CREATE ROLE trailkeeper_eraser LOGIN;
CREATE ROLE trailkeeper_flagger LOGIN;
CREATE ROLE trailkeeper_state LOGIN;

-- QWED's database ------------------------------------------------------------------------------------------------------------
\connect :qwed

-- The reader. Verification takes the trail, organisations and users; the backup takes all of it, hashes of passwords and API keys
-- too, since a restore needs them. Without a backup grant the first line alone, and what you want evidence of.
GRANT SELECT ON organization, "user", verificationlog TO trailkeeper;
GRANT SELECT ON resourcequota, apikey, agent, agentpermission, securityevent, agentactivity, toolcall TO trailkeeper;
-- A second line: it has no right to write, and says so itself in each session.
ALTER ROLE trailkeeper SET default_transaction_read_only = on;

-- The eraser. No hash, signature, link, time or verdict.
GRANT SELECT ON organization, "user", apikey, verificationlog, securityevent, agent, agentactivity, toolcall TO trailkeeper_eraser;
GRANT UPDATE (user_id, query, result, raw_llm_output, api_key_id) ON verificationlog TO trailkeeper_eraser;
GRANT UPDATE (user_id, query, reason) ON securityevent TO trailkeeper_eraser;
GRANT UPDATE (is_active, revoked_at), DELETE ON apikey TO trailkeeper_eraser;
GRANT UPDATE (description, input_data, output_data, ip_address) ON agentactivity TO trailkeeper_eraser;
GRANT UPDATE (tool_params, approved_by, result, blocked_reason) ON toolcall TO trailkeeper_eraser;
GRANT UPDATE (created_by_user_id) ON agent TO trailkeeper_eraser;
GRANT UPDATE (email, password_hash, permissions, is_active), DELETE ON "user" TO trailkeeper_eraser;
-- Only for entries = "delete" and security_events = "delete":
GRANT DELETE ON verificationlog, securityevent TO trailkeeper_eraser;
-- Only for api_keys = "detach":
GRANT UPDATE (user_id, name) ON apikey TO trailkeeper_eraser;

-- The flagger. It sees no key, no name and no owner.
GRANT SELECT (id, is_active, revoked_at, created_at, rotation_required), UPDATE (rotation_required) ON apikey TO trailkeeper_flagger;

-- Our own database -----------------------------------------------------------------------------------------------------------
SELECT format('CREATE DATABASE %I', :'state') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'state') \gexec
\connect :state

-- Its owner. It makes and changes tables in this schema and nowhere else; the worker does so at its start, or "trailkeeper migrate".
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE :"state" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"state" TO trailkeeper_state;
CREATE SCHEMA trailkeeper AUTHORIZATION trailkeeper_state;
