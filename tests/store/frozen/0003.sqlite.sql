BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE attempts (
	job_id VARCHAR(40) NOT NULL, 
	epoch INTEGER NOT NULL, 
	worker_id VARCHAR(200) NOT NULL, 
	started_at DOUBLE NOT NULL, 
	ended_at DOUBLE, 
	outcome VARCHAR(16), rung_at DOUBLE, reason TEXT, 
	CONSTRAINT pk_attempts PRIMARY KEY (job_id, epoch), 
	CONSTRAINT ck_attempts_known_outcome CHECK (outcome IN ('succeeded', 'failed', 'cancelled', 'released', 'crashed', 'lost')), 
	CONSTRAINT fk_attempts_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "attempts" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd',1,'host:1:2:0',1.79582944580301046367e+09,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('job_01m8fwdd3zh9perzagdw327s14',1,'host:1:2:0',1.79582944595098781583e+09,1.79582944597001814839e+09,'succeeded',NULL,NULL);
INSERT INTO "attempts" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr',1,'host:1:2:0',1.79582944597098374361e+09,1.79582944597601294519e+09,'failed',NULL,NULL);
CREATE TABLE checkpoints (
	id INTEGER NOT NULL, 
	job_id VARCHAR(40) NOT NULL, 
	epoch INTEGER NOT NULL, 
	outer_step INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	manifest_sha256 VARCHAR(64) NOT NULL, 
	created_at DOUBLE NOT NULL, loss DOUBLE, 
	CONSTRAINT pk_checkpoints PRIMARY KEY (id), 
	CONSTRAINT fk_checkpoints_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "checkpoints" VALUES(2,'job_01m8fwdd3xx5rtmjkc5pg31ghd',1,1,'jobs/job_01m8fwdd3xx5rtmjkc5pg31ghd/1-1','0000000000000000000000000000000000000000000000000000000000000000',1.79582944594000434878e+09,NULL);
INSERT INTO "checkpoints" VALUES(3,'job_01m8fwdd3xx5rtmjkc5pg31ghd',1,2,'jobs/job_01m8fwdd3xx5rtmjkc5pg31ghd/1-2','0000000000000000000000000000000000000000000000000000000000000000',1.79582944594801068309e+09,NULL);
INSERT INTO "checkpoints" VALUES(5,'job_01m8fwdd3zh9perzagdw327s14',1,1,'jobs/job_01m8fwdd3zh9perzagdw327s14/1-1','0000000000000000000000000000000000000000000000000000000000000000',1.79582944596201181408e+09,NULL);
INSERT INTO "checkpoints" VALUES(6,'job_01m8fwdd3zh9perzagdw327s14',1,2,'jobs/job_01m8fwdd3zh9perzagdw327s14/1-2','0000000000000000000000000000000000000000000000000000000000000000',1.79582944596301770203e+09,NULL);
INSERT INTO "checkpoints" VALUES(8,'job_01m8fwdd40ptjy6y5bvfczv1qr',1,1,'jobs/job_01m8fwdd40ptjy6y5bvfczv1qr/1-1','0000000000000000000000000000000000000000000000000000000000000000',1.79582944597299551964e+09,NULL);
INSERT INTO "checkpoints" VALUES(9,'job_01m8fwdd40ptjy6y5bvfczv1qr',1,2,'jobs/job_01m8fwdd40ptjy6y5bvfczv1qr/1-2','0000000000000000000000000000000000000000000000000000000000000000',1.79582944597400140764e+09,NULL);
CREATE TABLE "events" (
	job_id VARCHAR(40) NOT NULL, 
	seq INTEGER NOT NULL, 
	type VARCHAR(32) NOT NULL, 
	data JSON NOT NULL, 
	at DOUBLE NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (job_id, seq), 
	CONSTRAINT fk_events_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT ck_events_known_type CHECK (type IN ('queued', 'started', 'outer_step', 'finishing', 'requeued', 'crashed', 'checkpoint_rejected', 'population_reduced', 'cancel_requested', 'pause_requested', 'paused', 'resumed', 'plan_created', 'plan_refused', 'succeeded', 'failed', 'cancelled'))
);
INSERT INTO "events" VALUES('job_01m8fwdd3kd9rn3ykezzkh563s',1,'queued','{}',1.79582944575601816182e+09);
INSERT INTO "events" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd',1,'queued','{}',1.795829445757989645e+09);
INSERT INTO "events" VALUES('job_01m8fwdd3zh9perzagdw327s14',1,'queued','{}',1.79582944576000118255e+09);
INSERT INTO "events" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr',1,'queued','{}',1.7958294457700192928e+09);
INSERT INTO "events" VALUES('job_01m8fwdd4bcyz1rfhsrbj6frz8',1,'queued','{}',1.79582944577098488803e+09);
INSERT INTO "events" VALUES('job_01m8fwdd4c43vtq15nx509232c',1,'queued','{}',1.79582944577500820161e+09);
INSERT INTO "events" VALUES('job_01m8fwdd4bcyz1rfhsrbj6frz8',2,'cancel_requested','{}',1.7958294457880034446e+09);
INSERT INTO "events" VALUES('job_01m8fwdd4bcyz1rfhsrbj6frz8',3,'cancelled','{}',1.79582944579299235345e+09);
INSERT INTO "events" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd',2,'started','{"epoch":1,"worker":"host:1:2:0","resumed_from":null}',1.79582944580401635166e+09);
INSERT INTO "events" VALUES('job_01m8fwdd3zh9perzagdw327s14',2,'started','{"epoch":1,"worker":"host:1:2:0","resumed_from":null}',1.79582944595098781583e+09);
INSERT INTO "events" VALUES('job_01m8fwdd3zh9perzagdw327s14',3,'succeeded','{"validation":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666},"test":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666}}',1.79582944597098374361e+09);
INSERT INTO "events" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr',2,'started','{"epoch":1,"worker":"host:1:2:0","resumed_from":null}',1.79582944597198963169e+09);
INSERT INTO "events" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr',3,'failed','{"type":"diverged","message":"all 4 runs diverged","hint":"lower the learning rate","suggested_spec":null}',1.79582944597601294519e+09);
CREATE TABLE idempotency_keys (
	owner VARCHAR(200) NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	request_sha256 VARCHAR(64) NOT NULL, 
	job_id VARCHAR(40) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (owner, "key"), 
	CONSTRAINT fk_idempotency_keys_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO "idempotency_keys" VALUES('local','key-waits','e81fece943e08b7e5368f96fda1ae26378b948df8771e610ff5881591d53962c','job_01m8fwdd3kd9rn3ykezzkh563s',1.79582944575400638579e+09);
INSERT INTO "idempotency_keys" VALUES('local','key-runs','dc35cc46369626052fe907ae57ad2bd55c097a6f073d3b667c277f8c629d88f5','job_01m8fwdd3xx5rtmjkc5pg31ghd',1.795829445757989645e+09);
INSERT INTO "idempotency_keys" VALUES('local','key-succeeded','233f59e2a86d83541c41c89ca8b9a62ef0b37582cb5225c07143c068f59efe69','job_01m8fwdd3zh9perzagdw327s14',1.79582944575899553299e+09);
INSERT INTO "idempotency_keys" VALUES('local','key-failed','437bd0e0af71f04245610e15c04429245471d591c2d93ed5ee89d50239de61ae','job_01m8fwdd40ptjy6y5bvfczv1qr',1.79582944576901340485e+09);
INSERT INTO "idempotency_keys" VALUES('local','key-cancelled','86eb2080f4d8608e4fbdf3f5e6ad9d5f7dd1944b1c4951201a1f743bba641874','job_01m8fwdd4bcyz1rfhsrbj6frz8',1.79582944577098488803e+09);
INSERT INTO "idempotency_keys" VALUES('local','key-paused','5555cb4786780327dfba678d85dc90b8c2bc4e7e68fd17325dc9ce6d406002ec','job_01m8fwdd4c43vtq15nx509232c',1.79582944577199077611e+09);
CREATE TABLE jobs (
	id VARCHAR(40) NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	task VARCHAR(200) NOT NULL, 
	spec JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	epoch INTEGER NOT NULL, 
	worker_id VARCHAR(200), 
	threads INTEGER, 
	lease_until DOUBLE, 
	next_ring_at DOUBLE, 
	rings INTEGER NOT NULL, 
	cancel_requested_at DOUBLE, 
	checkpoint_id INTEGER, 
	barren_crashes INTEGER NOT NULL, 
	last_seq INTEGER NOT NULL, 
	progress JSON NOT NULL, 
	current JSON, 
	best JSON, 
	failure JSON, 
	result JSON, 
	created_at DOUBLE NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, renewed_at DOUBLE, claimed_at DOUBLE, queued_at DOUBLE, rung_at DOUBLE, pause_requested_at DOUBLE, population INTEGER, 
	CONSTRAINT pk_jobs PRIMARY KEY (id), 
	CONSTRAINT ck_jobs_failure_when_failed CHECK ((state = 'failed') = (failure IS NOT NULL)), 
	CONSTRAINT ck_jobs_ring_while_queued CHECK ((state = 'queued') = (next_ring_at IS NOT NULL)), 
	CONSTRAINT ck_jobs_lease_while_running CHECK ((state = 'running') = (lease_until IS NOT NULL)), 
	CONSTRAINT ck_jobs_result_when_succeeded CHECK ((state = 'succeeded') = (result IS NOT NULL)), 
	CONSTRAINT ck_jobs_known_state CHECK (state IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'))
);
INSERT INTO "jobs" VALUES('job_01m8fwdd3kd9rn3ykezzkh563s','local','waits','digits','{"name":"waits","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":0}','queued',0,NULL,NULL,NULL,1.79582944575501227374e+09,0,NULL,NULL,0,1,'{"outer_step":0,"outer_steps":12,"inner_steps":0,"phase":"waiting","fraction":0.0,"run_equivalents":0.0}',NULL,NULL,NULL,NULL,1.79582944575501227374e+09,NULL,NULL,NULL,NULL,1.79582944575501227374e+09,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd','local','runs','digits','{"name":"runs","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":1}','running',1,'host:1:2:0',1,1.79582950580301046366e+09,NULL,0,NULL,3,0,2,'{"outer_step":1,"outer_steps":12,"inner_steps":3,"phase":"tune","fraction":0.1,"run_equivalents":2.0}','{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}','{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}',NULL,NULL,1.795829445757989645e+09,1.79582944580301046367e+09,NULL,1.79582944580301046367e+09,1.79582944580301046367e+09,1.795829445757989645e+09,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('job_01m8fwdd3zh9perzagdw327s14','local','succeeded','digits','{"name":"succeeded","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":2}','succeeded',1,'host:1:2:0',1,NULL,NULL,0,NULL,6,0,3,'{"outer_step":1,"outer_steps":12,"inner_steps":3,"phase":"tune","fraction":0.1,"run_equivalents":2.0}','{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}','{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}',NULL,'{"spec":{"name":"","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":0},"start":{"hyperparameters":{"learning_rate.hidden":0.00014285714285714287},"validation":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666},"test":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666}},"best":{"hyperparameters":{"learning_rate.hidden":0.00014285714285714287},"validation":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666},"test":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666}},"schedule":{"times":[0.5,1.0],"start":[1.0,0.1],"best":[1.0,0.3333333333333333]},"estimator":{"estimator":"reverse","engine":"population","adjoint":"bounded","checkpointing":"none","reason":"r"},"chaos":null,"certificate":null,"cost":{"run_equivalents":17.3,"gradient_evaluations":3460.0,"wall_seconds":1.5},"proxy":{"tensors":[],"parameters":1,"features":64,"classes":10},"coordinate_check":null,"ladder":null,"noise_scale":null,"horizon":null,"dropped_members":0,"provenance":{"spec_sha256":"0000000000000000000000000000000000000000000000000000000000000000","data_sha256":"1111111111111111111111111111111111111111111111111111111111111111","versions":{},"threads":1,"seed":0}}',1.79582944575899553299e+09,1.79582944594998216627e+09,1.79582944597001814839e+09,NULL,1.79582944595098781583e+09,1.79582944575899553299e+09,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr','local','failed','digits','{"name":"failed","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":3}','failed',1,'host:1:2:0',1,NULL,NULL,0,NULL,9,0,3,'{"outer_step":1,"outer_steps":12,"inner_steps":3,"phase":"tune","fraction":0.1,"run_equivalents":2.0}','{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}','{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}','{"type":"diverged","message":"all 4 runs diverged","hint":"lower the learning rate","suggested_spec":null}',NULL,1.79582944576901340485e+09,1.79582944597098374361e+09,1.79582944597601294519e+09,NULL,1.79582944597098374361e+09,1.79582944576901340485e+09,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('job_01m8fwdd4bcyz1rfhsrbj6frz8','local','cancelled','digits','{"name":"cancelled","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":4}','cancelled',0,NULL,NULL,NULL,NULL,0,1.7958294457880034446e+09,NULL,0,3,'{"outer_step":0,"outer_steps":12,"inner_steps":0,"phase":"waiting","fraction":0.0,"run_equivalents":0.0}',NULL,NULL,NULL,NULL,1.79582944577098488803e+09,NULL,1.7958294457880034446e+09,NULL,NULL,1.79582944577098488803e+09,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('job_01m8fwdd4c43vtq15nx509232c','local','paused','digits','{"name":"paused","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":5}','paused',0,NULL,NULL,NULL,NULL,0,NULL,NULL,0,1,'{"outer_step":0,"outer_steps":12,"inner_steps":0,"phase":"waiting","fraction":0.0,"run_equivalents":0.0}',NULL,NULL,NULL,NULL,1.79582944577500820161e+09,NULL,NULL,NULL,NULL,1.79582944577500820161e+09,NULL,NULL,NULL);
CREATE TABLE metrics (
	job_id VARCHAR(40) NOT NULL, 
	series VARCHAR(200) NOT NULL, 
	step INTEGER NOT NULL, 
	value DOUBLE NOT NULL, 
	CONSTRAINT pk_metrics PRIMARY KEY (job_id, series, step), 
	CONSTRAINT fk_metrics_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "metrics" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd','loss',0,3.33333333333333314829e-01);
INSERT INTO "metrics" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd','loss',1,0.25);
INSERT INTO "metrics" VALUES('job_01m8fwdd3xx5rtmjkc5pg31ghd','loss',2,0.2);
INSERT INTO "metrics" VALUES('job_01m8fwdd3zh9perzagdw327s14','loss',0,3.33333333333333314829e-01);
INSERT INTO "metrics" VALUES('job_01m8fwdd3zh9perzagdw327s14','loss',1,0.25);
INSERT INTO "metrics" VALUES('job_01m8fwdd3zh9perzagdw327s14','loss',2,0.2);
INSERT INTO "metrics" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr','loss',0,3.33333333333333314829e-01);
INSERT INTO "metrics" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr','loss',1,0.25);
INSERT INTO "metrics" VALUES('job_01m8fwdd40ptjy6y5bvfczv1qr','loss',2,0.2);
CREATE TABLE plans (
	id VARCHAR(40) NOT NULL, 
	job_id VARCHAR(40) NOT NULL, 
	"plan" JSON NOT NULL, 
	created_at DOUBLE NOT NULL, 
	CONSTRAINT pk_plans PRIMARY KEY (id), 
	CONSTRAINT fk_plans_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "plans" VALUES('plan_01m8fwdd3zh9perzagdw327s14','job_01m8fwdd3zh9perzagdw327s14','{"id":"plan_01m8fwdd3zh9perzagdw327s14","job_id":"job_01m8fwdd3zh9perzagdw327s14","created_at":"2024-02-29T00:00:00Z","task":"digits","kind":null,"parametrization":"mup","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"width":1024,"depth":2,"steps":200,"batch_size":64,"context":1,"width_ratio":16.0,"depth_ratio":1.0,"depth_rule":"copy","depth_exponent":null,"decay_rule":"independent","features":64,"classes":10,"optimizer":"adamw","decay":"decoupled","momentum":null,"beta1":0.9,"beta2":0.999,"clip_norm":1.0,"regularization":{"dropout":null,"label_smoothing":null,"input_noise":null},"mixture_weights":{},"attention_multiplier":null,"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"roles":[],"tensors":[],"parameters":1,"hyperparameters":{"learning_rate":0.3333333333333333},"proxy_validation":{"mean":0.3,"stderr":0.01,"seeds":8,"accuracy":null},"tuning_share":0.1,"assumptions":[],"not_covered":[],"coordinate_check":null,"ladder":null,"penalties":[],"noise_scale":null,"horizon":null,"in_your_loop":[],"forced":false,"provenance":{"spec_sha256":"0000000000000000000000000000000000000000000000000000000000000000","data_sha256":"1111111111111111111111111111111111111111111111111111111111111111","versions":{},"threads":1,"seed":0}}',1.79582944596901226044e+09);
CREATE TABLE workers (
	id VARCHAR(200) NOT NULL, 
	host VARCHAR(200) NOT NULL, 
	device VARCHAR(100) NOT NULL, 
	threads INTEGER NOT NULL, 
	job_id VARCHAR(40), 
	started_at DOUBLE NOT NULL, 
	seen_at DOUBLE NOT NULL, speed JSON, steps_per_second DOUBLE, drain_requested_at DOUBLE, 
	CONSTRAINT pk_workers PRIMARY KEY (id)
);
INSERT INTO "workers" VALUES('host:1:2:0','host','cpu',1,'job_01m8fwdd3xx5rtmjkc5pg31ghd',1.79582944579626894001e+09,1.79582944580099868776e+09,NULL,NULL,NULL);
CREATE INDEX ix_jobs_state_lease_until ON jobs (state, lease_until);
CREATE INDEX ix_jobs_state_next_ring_at ON jobs (state, next_ring_at);
CREATE INDEX ix_jobs_task_id ON jobs (task, id);
CREATE UNIQUE INDEX ix_checkpoints_job_id_epoch_outer_step ON checkpoints (job_id, epoch, outer_step);
CREATE INDEX ix_plans_job_id ON plans (job_id);
CREATE INDEX ix_jobs_owner_claimed_at ON jobs (owner, claimed_at);
COMMIT;
