CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE users (
	id VARCHAR(32) NOT NULL, 
	username VARCHAR(64) NOT NULL, 
	username_key VARCHAR(192) NOT NULL, 
	password_hash VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	disabled_at BIGINT, role VARCHAR(16) DEFAULT 'user' NOT NULL, limits JSON, retention_days INTEGER, own_retention_days INTEGER, deleted_at BIGINT, purge_until BIGINT, keeps BOOLEAN DEFAULT 1 NOT NULL, is_service BOOLEAN DEFAULT 0 NOT NULL, models JSON, 
	CONSTRAINT users_pk PRIMARY KEY (id), 
	CONSTRAINT users_username_key_unique UNIQUE (username_key)
);

CREATE TABLE access_tokens (
	digest BLOB NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, is_cookie BOOLEAN, last_used_at BIGINT, event_id VARCHAR(32), is_final BOOLEAN, 
	CONSTRAINT access_tokens_pk PRIMARY KEY (digest), 
	CONSTRAINT access_tokens_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX access_tokens_by_user_id ON access_tokens (user_id);

CREATE TABLE runs (
	id VARCHAR(32) NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	prompt TEXT NOT NULL, 
	response TEXT DEFAULT '' NOT NULL, 
	common_length INTEGER, 
	system_prompt TEXT, 
	conversation_id VARCHAR(32) NOT NULL, 
	parameters JSON NOT NULL, 
	metadata JSON NOT NULL, 
	provider VARCHAR(32) NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	resolved_model VARCHAR(256), 
	finish_reason VARCHAR(64), 
	input_tokens INTEGER, 
	output_tokens INTEGER, 
	error_code VARCHAR(64), 
	error_detail TEXT, 
	created_at BIGINT NOT NULL, 
	started_at BIGINT, 
	finished_at BIGINT, 
	attempt INTEGER NOT NULL, 
	owner VARCHAR(32), 
	lease_until BIGINT, 
	cancel_requested BOOLEAN DEFAULT 0 NOT NULL, 
	handle VARCHAR(128), 
	idempotency_key VARCHAR(255), 
	request_digest BLOB, earlier JSON, previous_run_id VARCHAR(32), cost BIGINT, api_key_id VARCHAR(32), reservation JSON, last_message JSON, output JSON, end_user VARCHAR(512), store BOOLEAN, source VARCHAR(32), first_word_after BIGINT, cached_tokens INTEGER, reasoning_tokens INTEGER, 
	CONSTRAINT runs_pk PRIMARY KEY (id), 
	CONSTRAINT runs_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX runs_by_conversation ON runs (conversation_id, id);

CREATE UNIQUE INDEX runs_by_idempotency_key ON runs (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE UNIQUE INDEX runs_by_handle ON runs (provider, handle) WHERE handle IS NOT NULL;

CREATE TABLE gates (
	provider VARCHAR(32) NOT NULL, 
	closed_until BIGINT, 
	failures INTEGER DEFAULT '0' NOT NULL, 
	error_code VARCHAR(64), 
	error_detail TEXT, 
	CONSTRAINT gates_pk PRIMARY KEY (provider)
);

CREATE TABLE deliveries (
	id VARCHAR(255) NOT NULL, 
	received_at BIGINT NOT NULL, 
	CONSTRAINT deliveries_pk PRIMARY KEY (id)
);

CREATE INDEX deliveries_by_received_at ON deliveries (received_at);

CREATE TABLE api_keys (
	id VARCHAR(32) NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	digest BLOB NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	hint VARCHAR(8) NOT NULL, 
	scopes JSON NOT NULL, 
	models JSON, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	last_used_at BIGINT, limits JSON, keeps BOOLEAN DEFAULT 1 NOT NULL, 
	CONSTRAINT api_keys_pk PRIMARY KEY (id), 
	CONSTRAINT api_keys_digest_unique UNIQUE (digest), 
	CONSTRAINT api_keys_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX api_keys_by_user_id ON api_keys (user_id);

CREATE TABLE password_resets (
	user_id VARCHAR(32) NOT NULL, 
	digest BLOB NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT password_resets_pk PRIMARY KEY (user_id), 
	CONSTRAINT password_resets_digest_unique UNIQUE (digest), 
	CONSTRAINT password_resets_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE audit_events (
	id VARCHAR(32) NOT NULL, 
	at BIGINT NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	user_id VARCHAR(32), 
	username VARCHAR(64), 
	actor_id VARCHAR(32), 
	actor_username VARCHAR(64), 
	api_key_id VARCHAR(32), 
	detail VARCHAR(256), 
	address VARCHAR(64), 
	user_agent VARCHAR(256), 
	CONSTRAINT audit_events_pk PRIMARY KEY (id)
);

CREATE TABLE search_runs (number INTEGER PRIMARY KEY, run_id VARCHAR(32) NOT NULL UNIQUE);

CREATE TABLE quotas (
	id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(32), 
	ends_at BIGINT, 
	running INTEGER DEFAULT '0' NOT NULL, 
	tokens_used BIGINT DEFAULT '0' NOT NULL, 
	tokens_reserved BIGINT DEFAULT '0' NOT NULL, 
	cost_used BIGINT DEFAULT '0' NOT NULL, 
	cost_reserved BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT quotas_pk PRIMARY KEY (id), 
	CONSTRAINT quotas_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX quotas_by_user_id ON quotas (user_id);

CREATE TABLE webhook_secrets (
	user_id VARCHAR(32) NOT NULL, 
	secret VARCHAR(64) NOT NULL, 
	previous VARCHAR(64), 
	previous_until BIGINT, 
	CONSTRAINT webhook_secrets_pk PRIMARY KEY (user_id), 
	CONSTRAINT webhook_secrets_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE notifications (
	id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	event VARCHAR(16) NOT NULL, 
	url TEXT NOT NULL, 
	host VARCHAR(300) NOT NULL, 
	form VARCHAR(16) NOT NULL, 
	origin TEXT, 
	status VARCHAR(16) NOT NULL, 
	tries INTEGER DEFAULT '0' NOT NULL, 
	next_try_at BIGINT, 
	last_error VARCHAR(256), 
	CONSTRAINT notifications_pk PRIMARY KEY (id), 
	CONSTRAINT notifications_run_id_fk FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX notifications_by_run_id ON notifications (run_id);

CREATE INDEX notifications_due ON notifications (next_try_at) WHERE next_try_at IS NOT NULL;

CREATE TABLE run_tags (
	user_id VARCHAR(32) NOT NULL, 
	tag VARCHAR(577) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	CONSTRAINT run_tags_pk PRIMARY KEY (user_id, tag, run_id), 
	CONSTRAINT run_tags_run_id_fk FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;

CREATE INDEX run_tags_by_run_id ON run_tags (run_id);

CREATE TABLE conversation_titles (
	conversation_id VARCHAR(32) NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	title VARCHAR(200) NOT NULL, 
	CONSTRAINT conversation_titles_pk PRIMARY KEY (conversation_id), 
	CONSTRAINT conversation_titles_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX conversation_titles_by_user_id ON conversation_titles (user_id);

CREATE TABLE search_traces (number INTEGER PRIMARY KEY);

CREATE INDEX users_deleted ON users (purge_until) WHERE deleted_at IS NOT NULL;

CREATE INDEX runs_by_user ON runs (user_id, id, model, api_key_id, conversation_id);

CREATE TABLE clock (
	id INTEGER NOT NULL, 
	seen_at BIGINT NOT NULL, 
	CONSTRAINT clock_pk PRIMARY KEY (id)
);

CREATE VIRTUAL TABLE search_words USING fts5(prompt, response, content='', tokenize='ascii');

CREATE TRIGGER search_deleted AFTER DELETE ON runs WHEN old.status IN ('canceled', 'expired', 'failed', 'interrupted', 'succeeded') BEGIN INSERT INTO search_words (search_words, rowid, prompt, response) SELECT 'delete', number, own_words(old.user_id, old.prompt), own_words(old.user_id, old.response, old.output) FROM search_runs WHERE run_id = old.id AND EXISTS (SELECT 1 FROM search_words WHERE rowid = number); DELETE FROM search_runs WHERE run_id = old.id; END;

CREATE INDEX runs_by_end_user ON runs (user_id, end_user, id) WHERE end_user IS NOT NULL;

CREATE TABLE images (
	user_id VARCHAR(32) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	media_type VARCHAR(32) NOT NULL, 
	size INTEGER NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT images_pk PRIMARY KEY (user_id, sha256), 
	CONSTRAINT images_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE run_images (
	run_id VARCHAR(32) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	CONSTRAINT run_images_pk PRIMARY KEY (run_id, sha256), 
	CONSTRAINT run_images_run_id_fk FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE, 
	CONSTRAINT run_images_image_fk FOREIGN KEY(user_id, sha256) REFERENCES images (user_id, sha256) ON DELETE CASCADE
)
 WITHOUT ROWID

;

CREATE INDEX run_images_by_image ON run_images (user_id, sha256);

CREATE TRIGGER images_unshown AFTER DELETE ON run_images BEGIN DELETE FROM images WHERE user_id = old.user_id AND sha256 = old.sha256 AND NOT EXISTS (SELECT 1 FROM run_images WHERE user_id = old.user_id AND sha256 = old.sha256); END;

CREATE TABLE identities (
	issuer VARCHAR(255) NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT identities_pk PRIMARY KEY (issuer, subject), 
	CONSTRAINT identities_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX identities_by_user_id ON identities (user_id);

CREATE TABLE invitations (
	id VARCHAR(32) NOT NULL, 
	digest BLOB NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	limits JSON, 
	email VARCHAR(254), 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, models JSON, made_by VARCHAR(32), 
	CONSTRAINT invitations_pk PRIMARY KEY (id), 
	CONSTRAINT invitations_digest_unique UNIQUE (digest)
);

CREATE TABLE login_codes (
	digest BLOB NOT NULL, 
	user_id VARCHAR(32) NOT NULL, 
	challenge VARCHAR(64) NOT NULL, 
	login_ends_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT login_codes_pk PRIMARY KEY (digest), 
	CONSTRAINT login_codes_user_id_fk FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_codes_by_user_id ON login_codes (user_id);

CREATE TABLE nodes (
	id VARCHAR(32) NOT NULL, 
	lease_until BIGINT, 
	is_dead BOOLEAN DEFAULT 0 NOT NULL, address VARCHAR(300), secret VARCHAR(64), remote_address VARCHAR(300), certificate TEXT, had_session BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT nodes_pk PRIMARY KEY (id)
);

CREATE INDEX runs_that_failed ON runs (user_id, status, id) WHERE (status = 'canceled' OR status = 'expired' OR status = 'failed' OR status = 'interrupted');

CREATE INDEX runs_unfinished ON runs (owner) WHERE (status = 'processing' OR status = 'queued' OR status = 'starting');

CREATE TRIGGER search_finished AFTER UPDATE OF status ON runs WHEN (new.status = 'canceled' OR new.status = 'expired' OR new.status = 'failed' OR new.status = 'interrupted' OR new.status = 'succeeded') AND NOT (old.status = 'canceled' OR old.status = 'expired' OR old.status = 'failed' OR old.status = 'interrupted' OR old.status = 'succeeded') BEGIN INSERT INTO search_runs (run_id) VALUES (new.id); END;

CREATE TRIGGER search_imported AFTER INSERT ON runs WHEN (new.status = 'canceled' OR new.status = 'expired' OR new.status = 'failed' OR new.status = 'interrupted' OR new.status = 'succeeded') BEGIN INSERT INTO search_runs (run_id) VALUES (new.id); END;

INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1);

INSERT INTO alembic_version VALUES ('0033')
