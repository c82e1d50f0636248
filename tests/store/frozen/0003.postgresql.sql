SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.attempts (
    job_id character varying(40) NOT NULL,
    epoch integer NOT NULL,
    worker_id character varying(200) NOT NULL,
    started_at double precision NOT NULL,
    ended_at double precision,
    outcome character varying(16),
    rung_at double precision,
    reason text,
    CONSTRAINT ck_attempts_known_outcome CHECK (((outcome)::text = ANY (ARRAY[('succeeded'::character varying)::text, ('failed'::character varying)::text, ('cancelled'::character varying)::text, ('released'::character varying)::text, ('crashed'::character varying)::text, ('lost'::character varying)::text])))
);
CREATE TABLE public.checkpoints (
    id integer NOT NULL,
    job_id character varying(40) NOT NULL,
    epoch integer NOT NULL,
    outer_step integer NOT NULL,
    path text NOT NULL,
    manifest_sha256 character varying(64) NOT NULL,
    created_at double precision NOT NULL,
    loss double precision
);
CREATE SEQUENCE public.checkpoints_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.checkpoints_id_seq OWNED BY public.checkpoints.id;
CREATE TABLE public.events (
    job_id character varying(40) NOT NULL,
    seq integer NOT NULL,
    type character varying(32) NOT NULL,
    data json NOT NULL,
    at double precision NOT NULL,
    CONSTRAINT ck_events_known_type CHECK (((type)::text = ANY ((ARRAY['queued'::character varying, 'started'::character varying, 'outer_step'::character varying, 'finishing'::character varying, 'requeued'::character varying, 'crashed'::character varying, 'checkpoint_rejected'::character varying, 'population_reduced'::character varying, 'cancel_requested'::character varying, 'pause_requested'::character varying, 'paused'::character varying, 'resumed'::character varying, 'plan_created'::character varying, 'plan_refused'::character varying, 'succeeded'::character varying, 'failed'::character varying, 'cancelled'::character varying])::text[])))
);
CREATE TABLE public.idempotency_keys (
    owner character varying(200) NOT NULL,
    key character varying(200) NOT NULL,
    request_sha256 character varying(64) NOT NULL,
    job_id character varying(40) NOT NULL,
    created_at double precision NOT NULL
);
CREATE TABLE public.jobs (
    id character varying(40) NOT NULL,
    owner character varying(200) NOT NULL,
    name character varying(200) NOT NULL,
    task character varying(200) NOT NULL,
    spec json NOT NULL,
    state character varying(16) NOT NULL,
    epoch integer NOT NULL,
    worker_id character varying(200),
    threads integer,
    lease_until double precision,
    next_ring_at double precision,
    rings integer NOT NULL,
    cancel_requested_at double precision,
    checkpoint_id integer,
    barren_crashes integer NOT NULL,
    last_seq integer NOT NULL,
    progress json NOT NULL,
    current json,
    best json,
    failure json,
    result json,
    created_at double precision NOT NULL,
    started_at double precision,
    finished_at double precision,
    renewed_at double precision,
    claimed_at double precision,
    queued_at double precision,
    rung_at double precision,
    pause_requested_at double precision,
    population integer,
    CONSTRAINT ck_jobs_failure_when_failed CHECK ((((state)::text = 'failed'::text) = (failure IS NOT NULL))),
    CONSTRAINT ck_jobs_known_state CHECK (((state)::text = ANY (ARRAY[('queued'::character varying)::text, ('running'::character varying)::text, ('paused'::character varying)::text, ('succeeded'::character varying)::text, ('failed'::character varying)::text, ('cancelled'::character varying)::text]))),
    CONSTRAINT ck_jobs_lease_while_running CHECK ((((state)::text = 'running'::text) = (lease_until IS NOT NULL))),
    CONSTRAINT ck_jobs_result_when_succeeded CHECK ((((state)::text = 'succeeded'::text) = (result IS NOT NULL))),
    CONSTRAINT ck_jobs_ring_while_queued CHECK ((((state)::text = 'queued'::text) = (next_ring_at IS NOT NULL)))
);
CREATE TABLE public.metrics (
    job_id character varying(40) NOT NULL,
    series character varying(200) NOT NULL,
    step integer NOT NULL,
    value double precision NOT NULL
);
CREATE TABLE public.plans (
    id character varying(40) NOT NULL,
    job_id character varying(40) NOT NULL,
    plan json NOT NULL,
    created_at double precision NOT NULL
);
CREATE TABLE public.workers (
    id character varying(200) NOT NULL,
    host character varying(200) NOT NULL,
    device character varying(100) NOT NULL,
    threads integer NOT NULL,
    job_id character varying(40),
    started_at double precision NOT NULL,
    seen_at double precision NOT NULL,
    speed json,
    steps_per_second double precision,
    drain_requested_at double precision
);
ALTER TABLE ONLY public.checkpoints ALTER COLUMN id SET DEFAULT nextval('public.checkpoints_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0003');
INSERT INTO public.attempts VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 1, 'host:1:2:0', 1795829448.58017, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 1, 'host:1:2:0', 1795829448.603627, 1795829448.624998, 'succeeded', NULL, NULL);
INSERT INTO public.attempts VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 1, 'host:1:2:0', 1795829448.627411, 1795829448.660914, 'failed', NULL, NULL);
INSERT INTO public.checkpoints VALUES (2, 'job_01m8fwdftn6p7s3mfhhqyjx550', 1, 1, 'jobs/job_01m8fwdftn6p7s3mfhhqyjx550/1-1', '0000000000000000000000000000000000000000000000000000000000000000', 1795829448.592925, NULL);
INSERT INTO public.checkpoints VALUES (3, 'job_01m8fwdftn6p7s3mfhhqyjx550', 1, 2, 'jobs/job_01m8fwdftn6p7s3mfhhqyjx550/1-2', '0000000000000000000000000000000000000000000000000000000000000000', 1795829448.596209, NULL);
INSERT INTO public.checkpoints VALUES (5, 'job_01m8fwdftv3pdk34xdha2kyna9', 1, 1, 'jobs/job_01m8fwdftv3pdk34xdha2kyna9/1-1', '0000000000000000000000000000000000000000000000000000000000000000', 1795829448.613879, NULL);
INSERT INTO public.checkpoints VALUES (6, 'job_01m8fwdftv3pdk34xdha2kyna9', 1, 2, 'jobs/job_01m8fwdftv3pdk34xdha2kyna9/1-2', '0000000000000000000000000000000000000000000000000000000000000000', 1795829448.616753, NULL);
INSERT INTO public.checkpoints VALUES (8, 'job_01m8fwdftyy9mdm6rmv4gxqbdk', 1, 1, 'jobs/job_01m8fwdftyy9mdm6rmv4gxqbdk/1-1', '0000000000000000000000000000000000000000000000000000000000000000', 1795829448.654331, NULL);
INSERT INTO public.checkpoints VALUES (9, 'job_01m8fwdftyy9mdm6rmv4gxqbdk', 1, 2, 'jobs/job_01m8fwdftyy9mdm6rmv4gxqbdk/1-2', '0000000000000000000000000000000000000000000000000000000000000000', 1795829448.657596, NULL);
INSERT INTO public.events VALUES ('job_01m8fwdft2d0mnqq51m7zegsda', 1, 'queued', '{}', 1795829448.530427);
INSERT INTO public.events VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 1, 'queued', '{}', 1795829448.538285);
INSERT INTO public.events VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 1, 'queued', '{}', 1795829448.541459);
INSERT INTO public.events VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 1, 'queued', '{}', 1795829448.546473);
INSERT INTO public.events VALUES ('job_01m8fwdfv32ha7k8tshmvy2vyx', 1, 'queued', '{}', 1795829448.554339);
INSERT INTO public.events VALUES ('job_01m8fwdfvby1y3h58hvjsgwc5g', 1, 'queued', '{}', 1795829448.557952);
INSERT INTO public.events VALUES ('job_01m8fwdfv32ha7k8tshmvy2vyx', 2, 'cancel_requested', '{}', 1795829448.565242);
INSERT INTO public.events VALUES ('job_01m8fwdfv32ha7k8tshmvy2vyx', 3, 'cancelled', '{}', 1795829448.566023);
INSERT INTO public.events VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 2, 'started', '{"epoch":1,"worker":"host:1:2:0","resumed_from":null}', 1795829448.581332);
INSERT INTO public.events VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 2, 'started', '{"epoch":1,"worker":"host:1:2:0","resumed_from":null}', 1795829448.604347);
INSERT INTO public.events VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 3, 'succeeded', '{"validation":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666},"test":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666}}', 1795829448.625931);
INSERT INTO public.events VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 2, 'started', '{"epoch":1,"worker":"host:1:2:0","resumed_from":null}', 1795829448.633445);
INSERT INTO public.events VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 3, 'failed', '{"type":"diverged","message":"all 4 runs diverged","hint":"lower the learning rate","suggested_spec":null}', 1795829448.665677);
INSERT INTO public.idempotency_keys VALUES ('local', 'key-waits', 'e81fece943e08b7e5368f96fda1ae26378b948df8771e610ff5881591d53962c', 'job_01m8fwdft2d0mnqq51m7zegsda', 1795829448.526902);
INSERT INTO public.idempotency_keys VALUES ('local', 'key-runs', 'dc35cc46369626052fe907ae57ad2bd55c097a6f073d3b667c277f8c629d88f5', 'job_01m8fwdftn6p7s3mfhhqyjx550', 1795829448.533561);
INSERT INTO public.idempotency_keys VALUES ('local', 'key-succeeded', '233f59e2a86d83541c41c89ca8b9a62ef0b37582cb5225c07143c068f59efe69', 'job_01m8fwdftv3pdk34xdha2kyna9', 1795829448.540038);
INSERT INTO public.idempotency_keys VALUES ('local', 'key-failed', '437bd0e0af71f04245610e15c04429245471d591c2d93ed5ee89d50239de61ae', 'job_01m8fwdftyy9mdm6rmv4gxqbdk', 1795829448.542969);
INSERT INTO public.idempotency_keys VALUES ('local', 'key-cancelled', '86eb2080f4d8608e4fbdf3f5e6ad9d5f7dd1944b1c4951201a1f743bba641874', 'job_01m8fwdfv32ha7k8tshmvy2vyx', 1795829448.548067);
INSERT INTO public.idempotency_keys VALUES ('local', 'key-paused', '5555cb4786780327dfba678d85dc90b8c2bc4e7e68fd17325dc9ce6d406002ec', 'job_01m8fwdfvby1y3h58hvjsgwc5g', 1795829448.556358);
INSERT INTO public.jobs VALUES ('job_01m8fwdft2d0mnqq51m7zegsda', 'local', 'waits', 'digits', '{"name":"waits","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":0}', 'queued', 0, NULL, NULL, NULL, 1795829448.528442, 0, NULL, NULL, 0, 1, '{"outer_step":0,"outer_steps":12,"inner_steps":0,"phase":"waiting","fraction":0.0,"run_equivalents":0.0}', NULL, NULL, NULL, NULL, 1795829448.528445, NULL, NULL, NULL, NULL, 1795829448.528445, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES ('job_01m8fwdfv32ha7k8tshmvy2vyx', 'local', 'cancelled', 'digits', '{"name":"cancelled","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":4}', 'cancelled', 0, NULL, NULL, NULL, NULL, 0, 1795829448.561175, NULL, 0, 3, '{"outer_step":0,"outer_steps":12,"inner_steps":0,"phase":"waiting","fraction":0.0,"run_equivalents":0.0}', NULL, NULL, NULL, NULL, 1795829448.553513, NULL, 1795829448.561178, NULL, NULL, 1795829448.553513, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES ('job_01m8fwdfvby1y3h58hvjsgwc5g', 'local', 'paused', 'digits', '{"name":"paused","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":5}', 'paused', 0, NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 1, '{"outer_step":0,"outer_steps":12,"inner_steps":0,"phase":"waiting","fraction":0.0,"run_equivalents":0.0}', NULL, NULL, NULL, NULL, 1795829448.557043, NULL, NULL, NULL, NULL, 1795829448.557043, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 'local', 'succeeded', 'digits', '{"name":"succeeded","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":2}', 'succeeded', 1, 'host:1:2:0', 1, NULL, NULL, 0, NULL, 6, 0, 3, '{"outer_step":1,"outer_steps":12,"inner_steps":3,"phase":"tune","fraction":0.1,"run_equivalents":2.0}', '{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}', '{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}', NULL, '{"spec":{"name":"","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":0},"start":{"hyperparameters":{"learning_rate.hidden":0.00014285714285714287},"validation":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666},"test":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666}},"best":{"hyperparameters":{"learning_rate.hidden":0.00014285714285714287},"validation":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666},"test":{"mean":0.30000000000000004,"stderr":0.3333333333333333,"seeds":8,"accuracy":0.6666666666666666}},"schedule":{"times":[0.5,1.0],"start":[1.0,0.1],"best":[1.0,0.3333333333333333]},"estimator":{"estimator":"reverse","engine":"population","adjoint":"bounded","checkpointing":"none","reason":"r"},"chaos":null,"certificate":null,"cost":{"run_equivalents":17.3,"gradient_evaluations":3460.0,"wall_seconds":1.5},"proxy":{"tensors":[],"parameters":1,"features":64,"classes":10},"coordinate_check":null,"ladder":null,"noise_scale":null,"horizon":null,"dropped_members":0,"provenance":{"spec_sha256":"0000000000000000000000000000000000000000000000000000000000000000","data_sha256":"1111111111111111111111111111111111111111111111111111111111111111","versions":{},"threads":1,"seed":0}}', 1795829448.540576, 1795829448.603011, 1795829448.621354, NULL, 1795829448.603627, 1795829448.540576, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 'local', 'failed', 'digits', '{"name":"failed","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":3}', 'failed', 1, 'host:1:2:0', 1, NULL, NULL, 0, NULL, 9, 0, 3, '{"outer_step":1,"outer_steps":12,"inner_steps":3,"phase":"tune","fraction":0.1,"run_equivalents":2.0}', '{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}', '{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}', '{"type":"diverged","message":"all 4 runs diverged","hint":"lower the learning rate","suggested_spec":null}', NULL, 1795829448.54538, 1795829448.626659, 1795829448.660254, NULL, 1795829448.627411, 1795829448.54538, NULL, NULL, NULL);
INSERT INTO public.jobs VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 'local', 'runs', 'digits', '{"name":"runs","task":"digits","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"parametrization":"mup","transfer":{"decay_rule":"independent","depth_rule":null,"depth_exponent":null,"noise_scale":true,"horizons":0,"ladder":null},"optimizer":{"name":"adamw","decay":null,"learning_rate":0.003,"weight_decay":0.01,"momentum":null,"beta1":null,"beta2":null,"eps":null,"clip_norm":1.0},"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"regularization":{"l2":0.0,"dropout":0.0,"label_smoothing":0.0,"input_noise":0.0},"inner":{"steps":200,"batch_size":64,"seeds":4},"search":[{"name":"learning_rate","scope":"role","low":null,"high":null},{"name":"weight_decay","scope":"role","low":null,"high":null}],"method":{"estimator":"auto","engine":"population","adjoint":null,"checkpointing":"auto","growth_budget":10.0,"window":null,"samples":null,"sigma":null,"solver":null,"solver_steps":null,"damping":null},"outer":{"steps":12,"budget":null,"scout":true,"starts":1,"finish_seeds":8},"target":null,"seed":1}', 'running', 1, 'host:1:2:0', 1, 1795829508.578631, NULL, 0, NULL, 3, 0, 2, '{"outer_step":1,"outer_steps":12,"inner_steps":3,"phase":"tune","fraction":0.1,"run_equivalents":2.0}', '{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}', '{"outer_step":1,"loss":0.5,"stderr":0.1,"hyperparameters":{"learning_rate":0.3333333333333333}}', NULL, NULL, 1795829448.537469, 1795829448.578638, NULL, 1795829448.58017, 1795829448.58017, 1795829448.537469, NULL, NULL, NULL);
INSERT INTO public.metrics VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 'loss', 0, 0.3333333333333333);
INSERT INTO public.metrics VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 'loss', 1, 0.25);
INSERT INTO public.metrics VALUES ('job_01m8fwdftn6p7s3mfhhqyjx550', 'loss', 2, 0.2);
INSERT INTO public.metrics VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 'loss', 0, 0.3333333333333333);
INSERT INTO public.metrics VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 'loss', 1, 0.25);
INSERT INTO public.metrics VALUES ('job_01m8fwdftv3pdk34xdha2kyna9', 'loss', 2, 0.2);
INSERT INTO public.metrics VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 'loss', 0, 0.3333333333333333);
INSERT INTO public.metrics VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 'loss', 1, 0.25);
INSERT INTO public.metrics VALUES ('job_01m8fwdftyy9mdm6rmv4gxqbdk', 'loss', 2, 0.2);
INSERT INTO public.plans VALUES ('plan_01m8fwdftv3pdk34xdha2kyna9', 'job_01m8fwdftv3pdk34xdha2kyna9', '{"id":"plan_01m8fwdftv3pdk34xdha2kyna9","job_id":"job_01m8fwdftv3pdk34xdha2kyna9","created_at":"2024-02-29T00:00:00Z","task":"digits","kind":null,"parametrization":"mup","model":{"family":"mlp","width":64,"depth":2,"activation":"relu","d_head":null},"width":1024,"depth":2,"steps":200,"batch_size":64,"context":1,"width_ratio":16.0,"depth_ratio":1.0,"depth_rule":"copy","depth_exponent":null,"decay_rule":"independent","features":64,"classes":10,"optimizer":"adamw","decay":"decoupled","momentum":null,"beta1":0.9,"beta2":0.999,"clip_norm":1.0,"regularization":{"dropout":null,"label_smoothing":null,"input_noise":null},"mixture_weights":{},"attention_multiplier":null,"schedule":{"name":"cosine","warmup_fraction":0.05,"floor":0.1},"roles":[],"tensors":[],"parameters":1,"hyperparameters":{"learning_rate":0.3333333333333333},"proxy_validation":{"mean":0.3,"stderr":0.01,"seeds":8,"accuracy":null},"tuning_share":0.1,"assumptions":[],"not_covered":[],"coordinate_check":null,"ladder":null,"penalties":[],"noise_scale":null,"horizon":null,"in_your_loop":[],"forced":false,"provenance":{"spec_sha256":"0000000000000000000000000000000000000000000000000000000000000000","data_sha256":"1111111111111111111111111111111111111111111111111111111111111111","versions":{},"threads":1,"seed":0}}', 1795829448.619889);
INSERT INTO public.workers VALUES ('host:1:2:0', 'host', 'cpu', 1, 'job_01m8fwdftn6p7s3mfhhqyjx550', 1795829448.567788, 1795829448.568186, NULL, NULL, NULL);
SELECT pg_catalog.setval('public.checkpoints_id_seq', 9, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT pk_attempts PRIMARY KEY (job_id, epoch);
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT pk_checkpoints PRIMARY KEY (id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (job_id, seq);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT pk_idempotency_keys PRIMARY KEY (owner, key);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (id);
ALTER TABLE ONLY public.metrics
    ADD CONSTRAINT pk_metrics PRIMARY KEY (job_id, series, step);
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT pk_plans PRIMARY KEY (id);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT pk_workers PRIMARY KEY (id);
CREATE UNIQUE INDEX ix_checkpoints_job_id_epoch_outer_step ON public.checkpoints USING btree (job_id, epoch, outer_step);
CREATE INDEX ix_jobs_owner_claimed_at ON public.jobs USING btree (owner, claimed_at);
CREATE INDEX ix_jobs_state_lease_until ON public.jobs USING btree (state, lease_until);
CREATE INDEX ix_jobs_state_next_ring_at ON public.jobs USING btree (state, next_ring_at);
CREATE INDEX ix_jobs_task_id ON public.jobs USING btree (task, id);
CREATE INDEX ix_plans_job_id ON public.plans USING btree (job_id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT fk_attempts_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT fk_checkpoints_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT fk_idempotency_keys_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.metrics
    ADD CONSTRAINT fk_metrics_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id);
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT fk_plans_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id);
