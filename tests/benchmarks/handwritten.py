"""The same search as tlsearch's, written by hand with Ray Tune, Optuna and Keras.

    python tests/benchmarks/handwritten.py JOB.json RESULT.json

It is what a user of these libraries would write: pictures decoded once per process and cached in
memory, ASHA, threads limited to the trial's processors, BatchNorm frozen, best weights kept.
Fine-tuning follows the tutorials, without a warm-up of the head. With `reuse_actors` false, a trial
is a function in its own process; with true, a class whose process, pictures included, serves many
trials. TensorFlow decodes, so pictures are JPEG, PNG, BMP or GIF.

JOB holds trials (points of `space`), train and validation (files, labels), classes, image_px,
epochs, slots, cpus and gpus per slot, weights, seed, reuse_actors and scratch. RESULT holds the end
of the last trial, on the clock that all processes share, and the result of each trial.
"""

import json
import sys
import time
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

# Function of keras.applications, its options, and the module of its preprocessing.
NETWORKS = {
    "mobilenet_v2_035": ("MobileNetV2", {"alpha": 0.35}, "mobilenet_v2"),
    "mobilenet_v2_050": ("MobileNetV2", {"alpha": 0.5}, "mobilenet_v2"),
    "mobilenet_v2_075": ("MobileNetV2", {"alpha": 0.75}, "mobilenet_v2"),
    "mobilenet_v2": ("MobileNetV2", {"alpha": 1.0}, "mobilenet_v2"),
    "mobilenet_v2_130": ("MobileNetV2", {"alpha": 1.3}, "mobilenet_v2"),
    "mobilenet_v2_140": ("MobileNetV2", {"alpha": 1.4}, "mobilenet_v2"),
    "convnext_tiny": ("ConvNeXtTiny", {}, "convnext"),
}
BATCH = 32
FIRST_RUNG, REDUCTION = 2, 3  # epochs; the best third goes on


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    ray.init(
        num_cpus=job["slots"] * job["cpus"],
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    results = search(job)
    ended = time.monotonic()
    if results.errors:
        raise SystemExit(f"{results.num_errors} trials failed: {results.errors[0]}")
    rows = [row(result) for result in results]
    Path(sys.argv[2]).write_text(json.dumps({"ended": ended, "trials": rows}))


def search(job):
    """Run the job's trials, as many at a time as there are slots."""
    trainable = WarmTrial if job["reuse_actors"] else run_trial
    granted = {"cpu": job["cpus"], "gpu": job["gpus"]}
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, job=job), granted),
        param_space=space(job["trials"]),
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            search_alg=OptunaSearch(points_to_evaluate=job["trials"], seed=job["seed"]),
            scheduler=ASHAScheduler(
                max_t=job["epochs"],
                grace_period=min(FIRST_RUNG, job["epochs"]),
                reduction_factor=REDUCTION,
            ),
            num_samples=len(job["trials"]),
            max_concurrent_trials=job["slots"],
            reuse_actors=job["reuse_actors"],
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=job["scratch"],
            stop={"training_iteration": job["epochs"]},
            verbose=0,
        ),
    )
    return tuner.fit()


def space(trials):
    """Return a search space that is wide enough for these trials."""
    return {
        "backbone": tune.choice(sorted({trial["backbone"] for trial in trials})),
        "unfrozen_layers": tune.choice(list({trial["unfrozen_layers"] for trial in trials})),
        "head_units": tune.choice([0, 128]),
        "dropout": tune.choice([0.0, 0.2]),
        "learning_rate": tune.loguniform(1e-5, 1e-1),
    }


def row(result):
    """Return a trial's configuration and its result."""
    names = ("backbone", "unfrozen_layers", "head_units")
    return {
        **{name: result.config[name] for name in names},
        "epochs": result.metrics["training_iteration"],
        "best_accuracy": result.metrics["best_accuracy"],
    }


def run_trial(config, job):
    """Run a trial as a function that builds everything anew."""
    limit_resources(job["cpus"])
    train, validation = datasets(job)
    model = build_model(config, job)
    best = 0.0
    for _ in range(job["epochs"]):
        accuracy = run_epoch(model, train, validation)
        best = keep_best(model, accuracy, best, job, tune.get_context().get_trial_id())
        tune.report({"accuracy": accuracy, "best_accuracy": best})


class WarmTrial(tune.Trainable):
    """A trial in a process that has served others, so TensorFlow and the pictures are loaded."""

    def setup(self, config, job):
        limit_resources(job["cpus"])
        self.job = job
        self.train_set, self.validation_set = datasets(job)
        self.begin(config)

    def reset_config(self, new_config):
        import keras

        keras.utils.clear_session()
        self.begin(new_config)
        return True

    def begin(self, config):
        self.model = build_model(config, self.job)
        self.best = 0.0

    def step(self):
        accuracy = run_epoch(self.model, self.train_set, self.validation_set)
        self.best = keep_best(self.model, accuracy, self.best, self.job, self.trial_id)
        return {"accuracy": accuracy, "best_accuracy": self.best}

    def save_checkpoint(self, checkpoint_dir):
        """Do nothing: the best weights are already saved."""

    def load_checkpoint(self, checkpoint):
        """Do nothing: no trial is ever resumed."""


def limit_resources(cpus):
    """Limit TensorFlow, which would take every core and all GPU memory for each trial."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    tf.config.threading.set_inter_op_parallelism_threads(cpus)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def datasets(job):
    """Return training and validation pictures, decoded and resized once, then kept in memory."""
    return dataset(job, "train", shuffle=True), dataset(job, "validation", shuffle=False)


def dataset(job, split, shuffle):
    import tensorflow as tf

    size = (job["image_px"], job["image_px"])

    def read(file, label):
        image = tf.io.decode_image(tf.io.read_file(file), channels=3, expand_animations=False)
        image = tf.image.resize(image, size, antialias=True)
        return tf.cast(tf.round(image), tf.uint8), label

    files, labels = job[split]["files"], job[split]["labels"]
    data = tf.data.Dataset.from_tensor_slices((files, labels))
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE).cache()
    if shuffle:
        data = data.shuffle(len(files), seed=job["seed"])
    options = tf.data.Options()
    options.threading.private_threadpool_size = job["cpus"]
    return data.batch(BATCH).prefetch(tf.data.AUTOTUNE).with_options(options)


def build_model(config, job):
    """Build and compile a network with a new head."""
    import keras

    keras.utils.set_random_seed(job["seed"])
    shape = (job["image_px"], job["image_px"], 3)
    weights = None if job["weights"] == "none" else "imagenet"
    function, options, module = NETWORKS[config["backbone"]]
    base = getattr(keras.applications, function)(
        input_shape=shape, include_top=False, weights=weights, **options
    )
    unfreeze_last(base, config["unfrozen_layers"])
    inputs = keras.Input(shape)
    x = getattr(keras.applications, module).preprocess_input(inputs)
    x = base(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if config["head_units"]:
        x = keras.layers.Dense(config["head_units"], activation="relu")(x)
    x = keras.layers.Dropout(config["dropout"])(x)
    outputs = keras.layers.Dense(job["classes"], activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(config["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def unfreeze_last(base, layers):
    """Make only the last layers trainable, and never BatchNorm."""
    import keras

    base.trainable = True
    frozen = 0 if layers == "all" else max(0, len(base.layers) - layers)
    for place, layer in enumerate(base.layers):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = place >= frozen and not is_norm


def run_epoch(model, train, validation):
    """Train one epoch; return the validation accuracy after it."""
    history = model.fit(train, validation_data=validation, epochs=1, verbose=0)
    return history.history["val_accuracy"][0]


def keep_best(model, accuracy, best, job, trial_id):
    """Save the weights if they are the trial's best so far; return the best accuracy."""
    if accuracy > best:
        folder = Path(job["scratch"]) / "weights"
        folder.mkdir(exist_ok=True)
        model.save_weights(folder / f"{trial_id}.weights.h5")
    return max(accuracy, best)


if __name__ == "__main__":
    main()
