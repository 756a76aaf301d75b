"""Matrix factorisation: ratings as products of the embeddings of users and of items."""

import argparse
import logging

import numpy as np

import psdist as mx


def network(factors: int, num_users: int, num_items: int) -> mx.sym.Symbol:
    user, item, score = mx.sym.Variable("user"), mx.sym.Variable("item"), mx.sym.Variable("score")
    user = mx.sym.Embedding(data=user, input_dim=num_users, output_dim=factors, name="user_embed")
    item = mx.sym.Embedding(data=item, input_dim=num_items, output_dim=factors, name="item_embed")
    pred = mx.sym.sum(data=user * item, axis=1)
    return mx.sym.LinearRegressionOutput(data=pred, label=score, name="lro")


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    rng = np.random.default_rng(0)
    users, items, factors = 60, 40, 4
    truth = rng.normal(size=(users, 3)) @ rng.normal(size=(3, items))
    at = np.stack(np.meshgrid(np.arange(users), np.arange(items), indexing="ij"), axis=-1).reshape(-1, 2)
    rng.shuffle(at)
    score = truth[at[:, 0], at[:, 1]].astype("float32")
    cut = int(0.8 * len(at))

    def iterator(part: slice, shuffle: bool) -> mx.io.NDArrayIter:
        data = {"user": at[part, 0].astype("float32"), "item": at[part, 1].astype("float32")}
        return mx.io.NDArrayIter(data, {"score": score[part]}, batch_size=64, shuffle=shuffle)

    train, test = iterator(slice(0, cut), True), iterator(slice(cut, None), False)
    mx.random.seed(1)
    module = mx.mod.Module(
        network(factors, users, items), data_names=["user", "item"], label_names=["score"], context=mx.cpu()
    )
    module.fit(
        train,
        eval_data=test,
        eval_metric="rmse",
        optimizer="adam",
        optimizer_params={"learning_rate": 0.05},
        initializer=mx.init.Normal(0.3),
        num_epoch=args.epochs,
    )
    return dict(module.score(test, "rmse"))["rmse"]


if __name__ == "__main__":
    print(f"rmse {main():.3f}")
