CREATE TABLE public.algorithm (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    library text NOT NULL,
    analysis_type text NOT NULL,
    fn_build text,
    fn_train text,
    fn_predict text,
    fn_lose text,
    fn_optimize text,
    sources text NOT NULL
);
CREATE SEQUENCE public.algorithm_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.algorithm_id_seq OWNED BY public.algorithm.id;
CREATE TABLE public.attempt (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    repeat_index bigint NOT NULL,
    status text NOT NULL,
    owner text NOT NULL,
    reason text,
    traceback text,
    time_finished text,
    job_id bigint NOT NULL
);
CREATE SEQUENCE public.attempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.attempt_id_seq OWNED BY public.attempt.id;
CREATE TABLE public.blob (
    sha256 text NOT NULL,
    size bigint NOT NULL
);
CREATE TABLE public.blobchunk (
    blob_id text NOT NULL,
    idx bigint NOT NULL,
    data bytea NOT NULL
);
ALTER TABLE ONLY public.blobchunk ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE public.dataset (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    typ text NOT NULL,
    source_format text NOT NULL,
    source_path text,
    urls text,
    columns text NOT NULL,
    dtypes text NOT NULL,
    shape text NOT NULL,
    sha256_hexdigest text NOT NULL,
    "memory_MB" bigint NOT NULL,
    contains_nan boolean NOT NULL,
    header text,
    is_ingested boolean NOT NULL,
    blob text,
    version bigint
);
CREATE SEQUENCE public.dataset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.dataset_id_seq OWNED BY public.dataset.id;
CREATE TABLE public.declared (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    experiment text NOT NULL,
    stage text NOT NULL,
    digest text NOT NULL,
    row_id bigint NOT NULL
);
CREATE SEQUENCE public.declared_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.declared_id_seq OWNED BY public.declared.id;
CREATE TABLE public.feature (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    columns text NOT NULL,
    columns_excluded text,
    dataset_id bigint NOT NULL
);
CREATE SEQUENCE public.feature_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.feature_id_seq OWNED BY public.feature.id;
CREATE TABLE public.featurecoder (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    idx bigint NOT NULL,
    sklearn_preprocess text,
    encoded_column_names text NOT NULL,
    matching_columns text NOT NULL,
    leftover_columns text NOT NULL,
    leftover_dtypes text NOT NULL,
    original_filter text NOT NULL,
    encoding_dimension text NOT NULL,
    only_fit_train boolean NOT NULL,
    is_categorical boolean NOT NULL,
    feature_id bigint NOT NULL
);
CREATE SEQUENCE public.featurecoder_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.featurecoder_id_seq OWNED BY public.featurecoder.id;
CREATE TABLE public.featureinterpolater (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    idx bigint NOT NULL,
    process_separately boolean NOT NULL,
    interpolate_kwargs text NOT NULL,
    matching_columns text NOT NULL,
    leftover_columns text NOT NULL,
    leftover_dtypes text NOT NULL,
    original_filter text NOT NULL,
    feature_id bigint NOT NULL
);
CREATE SEQUENCE public.featureinterpolater_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.featureinterpolater_id_seq OWNED BY public.featureinterpolater.id;
CREATE TABLE public.featureshaper (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    reshape_indices text,
    column_position bigint NOT NULL,
    feature_id bigint NOT NULL
);
CREATE SEQUENCE public.featureshaper_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.featureshaper_id_seq OWNED BY public.featureshaper.id;
CREATE TABLE public.fold (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    idx bigint NOT NULL,
    samples text,
    fitted_preprocessing text,
    splitset_id bigint NOT NULL
);
CREATE SEQUENCE public.fold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.fold_id_seq OWNED BY public.fold.id;
CREATE TABLE public.hyperparamcombo (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    idx bigint NOT NULL,
    hyperparameters text NOT NULL,
    key text NOT NULL,
    hyperparamset_id bigint NOT NULL
);
CREATE SEQUENCE public.hyperparamcombo_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hyperparamcombo_id_seq OWNED BY public.hyperparamcombo.id;
CREATE TABLE public.hyperparamset (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    hyperparameters text NOT NULL,
    search_count bigint,
    search_percent double precision,
    seed bigint NOT NULL,
    algorithm_id bigint NOT NULL
);
CREATE SEQUENCE public.hyperparamset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hyperparamset_id_seq OWNED BY public.hyperparamset.id;
CREATE TABLE public.job (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    repeat_count bigint NOT NULL,
    queue_id bigint NOT NULL,
    hyperparamcombo_id bigint,
    fold_id bigint
);
CREATE SEQUENCE public.job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.job_id_seq OWNED BY public.job.id;
CREATE TABLE public.label (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    columns text NOT NULL,
    column_count bigint NOT NULL,
    unique_classes text,
    dataset_id bigint NOT NULL
);
CREATE SEQUENCE public.label_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.label_id_seq OWNED BY public.label.id;
CREATE TABLE public.labelcoder (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    only_fit_train boolean NOT NULL,
    is_categorical boolean NOT NULL,
    sklearn_preprocess text,
    matching_columns text NOT NULL,
    encoding_dimension text NOT NULL,
    label_id bigint NOT NULL
);
CREATE SEQUENCE public.labelcoder_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.labelcoder_id_seq OWNED BY public.labelcoder.id;
CREATE TABLE public.labelinterpolater (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    process_separately boolean NOT NULL,
    interpolate_kwargs text NOT NULL,
    matching_columns text NOT NULL,
    label_id bigint NOT NULL
);
CREATE SEQUENCE public.labelinterpolater_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.labelinterpolater_id_seq OWNED BY public.labelinterpolater.id;
CREATE TABLE public.prediction (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    predictions text,
    probabilities text,
    permute_count bigint NOT NULL,
    feature_importance text,
    metrics text NOT NULL,
    metric_notes text NOT NULL,
    metrics_aggregate text NOT NULL,
    plot_data text,
    predictor_id bigint NOT NULL
);
CREATE SEQUENCE public.prediction_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.prediction_id_seq OWNED BY public.prediction.id;
CREATE TABLE public.predictor (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    repeat_index bigint NOT NULL,
    seed bigint NOT NULL,
    time_started text NOT NULL,
    time_succeeded text NOT NULL,
    time_duration bigint NOT NULL,
    seconds text NOT NULL,
    peak_memory_mb double precision NOT NULL,
    model_file text,
    features_shapes text,
    label_shape text,
    history text NOT NULL,
    is_diverged boolean NOT NULL,
    versions text NOT NULL,
    fitted_preprocessing text,
    job_id bigint NOT NULL
);
CREATE SEQUENCE public.predictor_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.predictor_id_seq OWNED BY public.predictor.id;
CREATE TABLE public.queue (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    repeat_count bigint NOT NULL,
    total_runs bigint NOT NULL,
    permute_count bigint NOT NULL,
    seed bigint NOT NULL,
    algorithm_id bigint NOT NULL,
    splitset_id bigint NOT NULL,
    hyperparamset_id bigint
);
CREATE SEQUENCE public.queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.queue_id_seq OWNED BY public.queue.id;
CREATE TABLE public.snapshot (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    experiment text NOT NULL,
    key text NOT NULL,
    rows text NOT NULL
);
CREATE SEQUENCE public.snapshot_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.snapshot_id_seq OWNED BY public.snapshot.id;
CREATE TABLE public.splitset (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    samples text,
    sizes text NOT NULL,
    supervision text NOT NULL,
    has_validation boolean NOT NULL,
    fold_count bigint,
    bin_count bigint,
    size_test text,
    size_validation text,
    unsupervised_stratify_col text,
    groups text,
    time_ordered boolean NOT NULL,
    gap bigint NOT NULL,
    seed bigint NOT NULL,
    shared_rows text,
    near_duplicates text,
    key_train text,
    key_evaluation text,
    key_test text,
    version bigint,
    fitted_preprocessing text,
    label_id bigint,
    predictor_id bigint
);
CREATE SEQUENCE public.splitset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.splitset_id_seq OWNED BY public.splitset.id;
CREATE TABLE public.splitsetfeature (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    splitset_id bigint NOT NULL,
    feature_id bigint NOT NULL,
    idx bigint NOT NULL
);
CREATE SEQUENCE public.splitsetfeature_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.splitsetfeature_id_seq OWNED BY public.splitsetfeature.id;
CREATE TABLE public.storeinfo (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public."window" (
    id bigint NOT NULL,
    time_created text NOT NULL,
    time_updated text NOT NULL,
    is_starred boolean NOT NULL,
    name text,
    description text,
    size_window bigint NOT NULL,
    size_shift bigint NOT NULL,
    record_shifted boolean NOT NULL,
    window_count bigint NOT NULL,
    feature_id bigint NOT NULL
);
CREATE SEQUENCE public.window_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.window_id_seq OWNED BY public."window".id;
ALTER TABLE ONLY public.algorithm ALTER COLUMN id SET DEFAULT nextval('public.algorithm_id_seq'::regclass);
ALTER TABLE ONLY public.attempt ALTER COLUMN id SET DEFAULT nextval('public.attempt_id_seq'::regclass);
ALTER TABLE ONLY public.dataset ALTER COLUMN id SET DEFAULT nextval('public.dataset_id_seq'::regclass);
ALTER TABLE ONLY public.declared ALTER COLUMN id SET DEFAULT nextval('public.declared_id_seq'::regclass);
ALTER TABLE ONLY public.feature ALTER COLUMN id SET DEFAULT nextval('public.feature_id_seq'::regclass);
ALTER TABLE ONLY public.featurecoder ALTER COLUMN id SET DEFAULT nextval('public.featurecoder_id_seq'::regclass);
ALTER TABLE ONLY public.featureinterpolater ALTER COLUMN id SET DEFAULT nextval('public.featureinterpolater_id_seq'::regclass);
ALTER TABLE ONLY public.featureshaper ALTER COLUMN id SET DEFAULT nextval('public.featureshaper_id_seq'::regclass);
ALTER TABLE ONLY public.fold ALTER COLUMN id SET DEFAULT nextval('public.fold_id_seq'::regclass);
ALTER TABLE ONLY public.hyperparamcombo ALTER COLUMN id SET DEFAULT nextval('public.hyperparamcombo_id_seq'::regclass);
ALTER TABLE ONLY public.hyperparamset ALTER COLUMN id SET DEFAULT nextval('public.hyperparamset_id_seq'::regclass);
ALTER TABLE ONLY public.job ALTER COLUMN id SET DEFAULT nextval('public.job_id_seq'::regclass);
ALTER TABLE ONLY public.label ALTER COLUMN id SET DEFAULT nextval('public.label_id_seq'::regclass);
ALTER TABLE ONLY public.labelcoder ALTER COLUMN id SET DEFAULT nextval('public.labelcoder_id_seq'::regclass);
ALTER TABLE ONLY public.labelinterpolater ALTER COLUMN id SET DEFAULT nextval('public.labelinterpolater_id_seq'::regclass);
ALTER TABLE ONLY public.prediction ALTER COLUMN id SET DEFAULT nextval('public.prediction_id_seq'::regclass);
ALTER TABLE ONLY public.predictor ALTER COLUMN id SET DEFAULT nextval('public.predictor_id_seq'::regclass);
ALTER TABLE ONLY public.queue ALTER COLUMN id SET DEFAULT nextval('public.queue_id_seq'::regclass);
ALTER TABLE ONLY public.snapshot ALTER COLUMN id SET DEFAULT nextval('public.snapshot_id_seq'::regclass);
ALTER TABLE ONLY public.splitset ALTER COLUMN id SET DEFAULT nextval('public.splitset_id_seq'::regclass);
ALTER TABLE ONLY public.splitsetfeature ALTER COLUMN id SET DEFAULT nextval('public.splitsetfeature_id_seq'::regclass);
ALTER TABLE ONLY public."window" ALTER COLUMN id SET DEFAULT nextval('public.window_id_seq'::regclass);
INSERT INTO public.storeinfo VALUES ('schema_version', '1');
ALTER TABLE ONLY public.algorithm
    ADD CONSTRAINT algorithm_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.blob
    ADD CONSTRAINT blob_pkey PRIMARY KEY (sha256);
ALTER TABLE ONLY public.blobchunk
    ADD CONSTRAINT blobchunk_pkey PRIMARY KEY (blob_id, idx);
ALTER TABLE ONLY public.dataset
    ADD CONSTRAINT dataset_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.declared
    ADD CONSTRAINT declared_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.feature
    ADD CONSTRAINT feature_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.featurecoder
    ADD CONSTRAINT featurecoder_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.featureinterpolater
    ADD CONSTRAINT featureinterpolater_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.featureshaper
    ADD CONSTRAINT featureshaper_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.fold
    ADD CONSTRAINT fold_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hyperparamcombo
    ADD CONSTRAINT hyperparamcombo_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hyperparamset
    ADD CONSTRAINT hyperparamset_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.label
    ADD CONSTRAINT label_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.labelcoder
    ADD CONSTRAINT labelcoder_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.labelinterpolater
    ADD CONSTRAINT labelinterpolater_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.prediction
    ADD CONSTRAINT prediction_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.predictor
    ADD CONSTRAINT predictor_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.snapshot
    ADD CONSTRAINT snapshot_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.splitset
    ADD CONSTRAINT splitset_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.splitsetfeature
    ADD CONSTRAINT splitsetfeature_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.storeinfo
    ADD CONSTRAINT storeinfo_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public."window"
    ADD CONSTRAINT window_pkey PRIMARY KEY (id);
CREATE INDEX attempt_job_id ON public.attempt USING btree (job_id);
CREATE INDEX blobchunk_blob_id ON public.blobchunk USING btree (blob_id);
CREATE UNIQUE INDEX dataset_name_version ON public.dataset USING btree (name, version);
CREATE INDEX dataset_sha256_hexdigest ON public.dataset USING btree (sha256_hexdigest);
CREATE UNIQUE INDEX declared_experiment_stage_digest ON public.declared USING btree (experiment, stage, digest);
CREATE INDEX feature_dataset_id ON public.feature USING btree (dataset_id);
CREATE INDEX featurecoder_feature_id ON public.featurecoder USING btree (feature_id);
CREATE UNIQUE INDEX featurecoder_feature_id_idx ON public.featurecoder USING btree (feature_id, idx);
CREATE INDEX featureinterpolater_feature_id ON public.featureinterpolater USING btree (feature_id);
CREATE UNIQUE INDEX featureinterpolater_feature_id_idx ON public.featureinterpolater USING btree (feature_id, idx);
CREATE UNIQUE INDEX featureshaper_feature_id ON public.featureshaper USING btree (feature_id);
CREATE INDEX fold_splitset_id ON public.fold USING btree (splitset_id);
CREATE UNIQUE INDEX fold_splitset_id_idx ON public.fold USING btree (splitset_id, idx);
CREATE INDEX hyperparamcombo_hyperparamset_id ON public.hyperparamcombo USING btree (hyperparamset_id);
CREATE UNIQUE INDEX hyperparamcombo_hyperparamset_id_idx ON public.hyperparamcombo USING btree (hyperparamset_id, idx);
CREATE INDEX hyperparamset_algorithm_id ON public.hyperparamset USING btree (algorithm_id);
CREATE INDEX job_fold_id ON public.job USING btree (fold_id);
CREATE INDEX job_hyperparamcombo_id ON public.job USING btree (hyperparamcombo_id);
CREATE INDEX job_queue_id ON public.job USING btree (queue_id);
CREATE INDEX label_dataset_id ON public.label USING btree (dataset_id);
CREATE UNIQUE INDEX labelcoder_label_id ON public.labelcoder USING btree (label_id);
CREATE UNIQUE INDEX labelinterpolater_label_id ON public.labelinterpolater USING btree (label_id);
CREATE INDEX prediction_predictor_id ON public.prediction USING btree (predictor_id);
CREATE INDEX predictor_job_id ON public.predictor USING btree (job_id);
CREATE UNIQUE INDEX predictor_job_id_repeat_index ON public.predictor USING btree (job_id, repeat_index);
CREATE INDEX queue_algorithm_id ON public.queue USING btree (algorithm_id);
CREATE INDEX queue_hyperparamset_id ON public.queue USING btree (hyperparamset_id);
CREATE INDEX queue_splitset_id ON public.queue USING btree (splitset_id);
CREATE UNIQUE INDEX snapshot_experiment_key ON public.snapshot USING btree (experiment, key);
CREATE INDEX splitset_label_id ON public.splitset USING btree (label_id);
CREATE UNIQUE INDEX splitset_name_version ON public.splitset USING btree (name, version);
CREATE INDEX splitset_predictor_id ON public.splitset USING btree (predictor_id);
CREATE INDEX splitsetfeature_feature_id ON public.splitsetfeature USING btree (feature_id);
CREATE INDEX splitsetfeature_splitset_id ON public.splitsetfeature USING btree (splitset_id);
CREATE UNIQUE INDEX splitsetfeature_splitset_id_idx ON public.splitsetfeature USING btree (splitset_id, idx);
CREATE UNIQUE INDEX window_feature_id ON public."window" USING btree (feature_id);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job(id);
ALTER TABLE ONLY public.blobchunk
    ADD CONSTRAINT blobchunk_blob_id_fkey FOREIGN KEY (blob_id) REFERENCES public.blob(sha256) ON DELETE CASCADE;
ALTER TABLE ONLY public.feature
    ADD CONSTRAINT feature_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.dataset(id);
ALTER TABLE ONLY public.featurecoder
    ADD CONSTRAINT featurecoder_feature_id_fkey FOREIGN KEY (feature_id) REFERENCES public.feature(id);
ALTER TABLE ONLY public.featureinterpolater
    ADD CONSTRAINT featureinterpolater_feature_id_fkey FOREIGN KEY (feature_id) REFERENCES public.feature(id);
ALTER TABLE ONLY public.featureshaper
    ADD CONSTRAINT featureshaper_feature_id_fkey FOREIGN KEY (feature_id) REFERENCES public.feature(id);
ALTER TABLE ONLY public.fold
    ADD CONSTRAINT fold_splitset_id_fkey FOREIGN KEY (splitset_id) REFERENCES public.splitset(id);
ALTER TABLE ONLY public.hyperparamcombo
    ADD CONSTRAINT hyperparamcombo_hyperparamset_id_fkey FOREIGN KEY (hyperparamset_id) REFERENCES public.hyperparamset(id);
ALTER TABLE ONLY public.hyperparamset
    ADD CONSTRAINT hyperparamset_algorithm_id_fkey FOREIGN KEY (algorithm_id) REFERENCES public.algorithm(id);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_fold_id_fkey FOREIGN KEY (fold_id) REFERENCES public.fold(id);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_hyperparamcombo_id_fkey FOREIGN KEY (hyperparamcombo_id) REFERENCES public.hyperparamcombo(id);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_queue_id_fkey FOREIGN KEY (queue_id) REFERENCES public.queue(id);
ALTER TABLE ONLY public.label
    ADD CONSTRAINT label_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.dataset(id);
ALTER TABLE ONLY public.labelcoder
    ADD CONSTRAINT labelcoder_label_id_fkey FOREIGN KEY (label_id) REFERENCES public.label(id);
ALTER TABLE ONLY public.labelinterpolater
    ADD CONSTRAINT labelinterpolater_label_id_fkey FOREIGN KEY (label_id) REFERENCES public.label(id);
ALTER TABLE ONLY public.prediction
    ADD CONSTRAINT prediction_predictor_id_fkey FOREIGN KEY (predictor_id) REFERENCES public.predictor(id);
ALTER TABLE ONLY public.predictor
    ADD CONSTRAINT predictor_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job(id);
ALTER TABLE ONLY public.queue
    ADD CONSTRAINT queue_algorithm_id_fkey FOREIGN KEY (algorithm_id) REFERENCES public.algorithm(id);
ALTER TABLE ONLY public.queue
    ADD CONSTRAINT queue_hyperparamset_id_fkey FOREIGN KEY (hyperparamset_id) REFERENCES public.hyperparamset(id);
ALTER TABLE ONLY public.queue
    ADD CONSTRAINT queue_splitset_id_fkey FOREIGN KEY (splitset_id) REFERENCES public.splitset(id);
ALTER TABLE ONLY public.splitset
    ADD CONSTRAINT splitset_label_id_fkey FOREIGN KEY (label_id) REFERENCES public.label(id);
ALTER TABLE ONLY public.splitsetfeature
    ADD CONSTRAINT splitsetfeature_feature_id_fkey FOREIGN KEY (feature_id) REFERENCES public.feature(id);
ALTER TABLE ONLY public.splitsetfeature
    ADD CONSTRAINT splitsetfeature_splitset_id_fkey FOREIGN KEY (splitset_id) REFERENCES public.splitset(id);
ALTER TABLE ONLY public."window"
    ADD CONSTRAINT window_feature_id_fkey FOREIGN KEY (feature_id) REFERENCES public.feature(id);
