"""A second derivation of every training method's loss: plain, slow, in float64, one image and one noise at a time.

Written from the formulas of the papers (and, where paper and public code differ, from what the code computes), not from
``radii.rs_core.methods``: the two share the keyed draws, the records of hyper-parameters and nothing else. Logarithms, norms,
projections, sorts and quantiles are written out. A loss is ``derive(hp, model, x, y, step) -> Tensor`` (scalar) for
x (B, C, H, W) float64 in [0, 1] and y (B,); the model is in training mode before and after.

Only forward passes take whole batches, because batch normalisation sees a batch; which images share a training-mode
pass is part of a method's definition.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import scipy.special
import torch
from torch import Tensor, nn

from radii.rs_core.methods.base import Step
from radii.rs_core.specs.jobs import (
    AdaptiveSmoothing,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    SmoothAdv,
    SmoothMix,
    Stability,
)
from tests_support.derivation_attacks import (
    ascent_iterates,
    ddn,
    fooling,
    label_divergence,
    pgd_clamp_first,
    pgd_project_first,
    worst_noises,
)
from tests_support.derivation_parts import (
    Noises,
    cross_entropy,
    divergence,
    drawn,
    first_largest,
    forward,
    growth,
    into_ball,
    into_box,
    log_softmax,
    mean,
    quantile,
    softmax,
)


def gaussian(hp: Gaussian, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean CE(F(x + d), y)."""
    (noise,) = drawn(x, 1, step)
    logits = forward(model, [image + noise[b] for b, image in enumerate(x)])
    return mean([cross_entropy(z, int(y[b])) for b, z in enumerate(logits)])


def stability(hp: Stability, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean CE(F(x), y) + lambda H(F(x), F(x + d)), two passes, clean first, nothing detached."""
    (noise,) = drawn(x, 1, step)
    clean = forward(model, list(x))
    noisy = forward(model, [image + noise[b] for b, image in enumerate(x)])
    losses = []
    for b in range(len(x)):
        disagreement = -(softmax(clean[b]) * log_softmax(noisy[b])).sum()
        losses.append(cross_entropy(clean[b], int(y[b])) + hp.weight * disagreement)
    return mean(losses)


def smoothadv(hp: SmoothAdv, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean over images and noises of CE(F(x_adv + d_i), y), the noises being those of the attack."""
    noises = drawn(x, hp.m, step)
    epsilon = hp.epsilon * growth(step, hp.warmup_epochs)
    model.eval()
    adversaries = []
    for b, image in enumerate(x):
        mine, label = [noises[i][b] for i in range(hp.m)], int(y[b])
        if hp.attack == "pgd":
            adversaries.append(pgd_clamp_first(model, image, mine, label, epsilon, hp.steps))
        else:
            adversaries.append(ddn(model, image, mine, label, epsilon, hp.steps, hp.ddn_gamma))
    model.train()
    used = noises if hp.copies == "all" else noises[:1]
    return _over_copies(model, adversaries, y, used)[0]


def _over_copies(model: nn.Module, images: Sequence[Tensor], y: Tensor, noises: Noises) -> tuple[Tensor, Noises]:
    """Mean cross-entropy over images and noises in one pass, and the logits by copy and image."""
    flat = forward(model, [image + copy[b] for copy in noises for b, image in enumerate(images)])
    logits = [[flat[i * len(images) + b] for b in range(len(images))] for i in range(len(noises))]
    losses = [cross_entropy(z, int(y[b])) for copy in logits for b, z in enumerate(copy)]
    return mean(losses), logits


def macer(hp: Macer, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean over images of -log(mean_j F_y + 1e-10) + lambda (sigma / 2) (gamma - xi) where the image counts."""
    noises = drawn(x, hp.m, step)
    _, logits = _over_copies(model, list(x), y, noises)
    weight = 0.0 if hp.deferred and step.epoch < step.first_drop else hp.weight
    losses = []
    for b in range(len(x)):
        mine, label = [logits[i][b] for i in range(hp.m)], int(y[b])
        loss = -torch.log(mean([softmax(z)[label] for z in mine]) + 1e-10)
        sharp = mean([softmax(hp.beta * z) for z in mine])
        if first_largest(sharp) == label:
            values = sharp.tolist()
            second = max((k for k in range(len(values)) if k != label), key=lambda k: values[k])
            xi = float(scipy.special.ndtri(values[label]) - scipy.special.ndtri(values[second]))
            if math.isfinite(xi) and abs(xi) <= hp.margin:
                hinge = hp.margin - (quantile(sharp[label]) - quantile(sharp[second]))
                loss = loss + weight * (step.sigma / 2) * hinge
        losses.append(loss)
    return mean(losses)


def consistency(hp: Consistency, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean CE + mean over images of lambda mean_i KL(Fbar || F_i) + eta H(Fbar), or another form of it."""
    noises = drawn(x, hp.m, step)
    images = list(x)
    if hp.attack is not None:
        epsilon = hp.attack.epsilon * growth(step, hp.attack.warmup_epochs)
        model.eval()
        for b, image in enumerate(x):
            mine = [noises[i][b] for i in range(hp.m)]
            images[b] = pgd_project_first(model, image, mine, int(y[b]), epsilon, hp.attack.steps)
        model.train()
    natural, logits = _over_copies(model, images, y, noises)
    return natural + mean([_disagreement(hp, [logits[i][b] for i in range(hp.m)]) for b in range(len(x))])


def _disagreement(hp: Consistency, logits: Sequence[Tensor]) -> Tensor:
    """The regulariser of one image, from the logits of its copies."""
    answers = [softmax(z) for z in logits]
    if hp.form == "mse":
        return hp.weight * ((answers[0] - answers[1]) ** 2).sum()
    average = mean(answers)
    spread = mean([divergence(average, answer) for answer in answers])
    if hp.form == "kl":
        return hp.weight * spread
    raised = torch.where(average < 1e-20, torch.full_like(average, 1e-20), average)
    entropy = -(average * torch.log(raised)).sum()
    if hp.form == "cross_entropy":
        return hp.weight * mean([-(average * torch.log(answer)).sum() for answer in answers])
    return hp.weight * spread + hp.eta * entropy


def smoothmix(hp: SmoothMix, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean CE at the clean side + eta w mean over images and noises of mask KL(y_mix || F(x_mix + d_i))."""
    noises = drawn(x, hp.m, step)
    ratios = (torch.rand(len(x), generator=step.generator) / 2).tolist()
    warm = growth(step, hp.warmup_epochs)
    model.eval()
    clean, far = [], []
    for b, image in enumerate(x):
        mine = [noises[i][b] for i in range(hp.m)]
        iterates = ascent_iterates(model, image, mine, int(y[b]), hp.steps, hp.step_size, hp.max_norm)
        far.append(iterates[-1])
        clean.append(_clean_side(hp, image, iterates, warm))
    model.train()
    natural, logits = _over_copies(model, clean, y, noises)
    mixed, targets, counts = [], [], []
    for b in range(len(x)):
        average = mean([softmax(logits[i][b]) for i in range(hp.m)])
        counts.append(1.0 if first_largest(average) == int(y[b]) else 0.0)
        target = (1 - ratios[b]) * average + ratios[b] / len(average)
        targets.append(target.detach() if hp.target == "detached" else target)
        mixed.append((1 - ratios[b]) * clean[b] + ratios[b] * far[b])
    _, again = _over_copies(model, mixed, y, noises)
    losses = [counts[b] * _mixup_loss(hp, targets[b], again[i][b]) for i in range(hp.m) for b in range(len(x))]
    return natural + hp.eta * warm * mean(losses)


def _clean_side(hp: SmoothMix, image: Tensor, iterates: Sequence[Tensor], warm: float) -> Tensor:
    """The image, or the early iterate that stands in for it, in its ball and in [0, 1]."""
    if hp.mix_step == 0 or hp.steps <= hp.mix_step:
        return image
    radius = hp.step_size * hp.mix_step * (warm if hp.one_step_radius == "warmed_up" else 1.0)
    return into_box(image + into_ball(iterates[hp.mix_step] - image, radius))


def _mixup_loss(hp: SmoothMix, target: Tensor, logits: Tensor) -> Tensor:
    cross = -(target * log_softmax(logits)).sum()
    return cross if hp.mix_loss == "cross_entropy" else cross + (target * torch.log(target)).sum()


def cat_rs(hp: CatRs, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean over images of (1/M) the K lowest cross-entropies + lambda 1[K = M] max_i KL(y_soft || F(x + d_i'))."""
    assert step.soft_labels is not None
    soft = step.soft_labels.double()
    noises = drawn(x, hp.m, step)
    _, logits = _over_copies(model, list(x), y, noises)
    kept = _kept(hp, logits, y, soft, step)
    doubled = hp.epsilon_doubles_at is not None and step.epoch >= hp.epsilon_doubles_at
    epsilon = hp.epsilon * (2 if doubled else 1)
    model.eval()
    worst = {}
    for b in range(len(x)):
        worst[b] = [noises[i][b] for i in range(hp.m)]
        if kept[b] == hp.m or _attacks_all(hp, model):
            worst[b] = worst_noises(model, x[b], worst[b], soft[b], epsilon, hp.steps, hp.kl)
    model.train()
    again = forward(model, [x[b] + worst[b][i] for i in range(hp.m) for b in range(len(x))])
    losses = []
    for b in range(len(x)):
        ascending = sorted([cross_entropy(logits[i][b], int(y[b])) for i in range(hp.m)], key=Tensor.item)
        loss = mean(ascending[: kept[b]]) * kept[b] / hp.m
        if kept[b] == hp.m:
            mine = [again[i * len(x) + b] for i in range(hp.m)]
            loss = loss + hp.weight * max([label_divergence(soft[b], z, hp.kl) for z in mine], key=Tensor.item)
        losses.append(loss)
    return mean(losses)


def _kept(hp: CatRs, logits: Noises, y: Tensor, soft: Tensor, step: Step) -> list[int]:
    """K of each image: binomial of M draws at its confidence, at least 1."""
    shares = []
    for b, label in enumerate(y.tolist()):
        right = sum(first_largest(logits[i][b]) == label for i in range(hp.m))
        shares.append(right / hp.m if hp.confidence == "votes" else float(soft[b, label]))
    count = torch.full((len(shares),), float(hp.m))
    k = torch.binomial(count, torch.tensor(shares, dtype=torch.float32), generator=step.generator)
    return [max(int(value), 1) for value in k]


def _attacks_all(hp: CatRs, model: nn.Module) -> bool:
    normalised = any("BatchNorm" in type(module).__name__ for module in model.modules())
    return hp.masked_attacks == "all" or (hp.masked_attacks == "auto" and normalised)


def adaptive_smoothing(hp: AdaptiveSmoothing, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
    """L = mean over copies of scale (c_bce BCE + c_ce CE + c_prod BCE CE); the last output is gamma, the others are the mix."""
    clean = _drawn_or_none(x, 1 + hp.extra_clean, step)
    model.eval()
    attacked = [_attacked_copy(hp, model, x, y, step) for _ in range(hp.attacked)]
    model.train()
    shown = [image + copy[b] for copy in clean for b, image in enumerate(x)]
    outputs = forward(model, shown + [image for copy in attacked for image in copy])
    losses = []
    for place, output in enumerate(outputs):
        s, label = (0, 1)[place >= len(shown)], int(y[place % len(x)])
        told = 1 / (1 + torch.exp(-output[-1]))
        bce, ce = -torch.log(told if s else 1 - told), cross_entropy(output[:-1], label)
        scale = hp.attacked_scale if s else hp.clean_scale
        losses.append(scale * (hp.bce_weight * bce + hp.ce_weight * ce + hp.product_weight * bce * ce))
    return mean(losses)


def _attacked_copy(hp: AdaptiveSmoothing, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> list[Tensor]:
    """Each image attacked, with its noise. Draws: noise, radii, shares, how many steps, where to begin."""
    (noise,) = _drawn_or_none(x, 1, step)
    radii = [hp.epsilon * (hp.epsilon_range[0] * (1 - r) + hp.epsilon_range[1] * r) for r in _uniform(len(x), step)]
    shares = [hp.gamma_share * r for r in _uniform(len(x), step)]
    steps = hp.steps
    if hp.step_count == "chi_squared":
        normal = torch.randn(hp.steps, generator=step.generator).tolist()
        steps = max(1, round(sum(z * z for z in normal)))
    begin = torch.rand(x.shape, generator=step.generator).double() * 2 - 1
    return [
        fooling(model, image, noise[b], int(y[b]), radii[b], shares[b], steps, begin[b]) + noise[b]
        for b, image in enumerate(x)
    ]


def _drawn_or_none(x: Tensor, m: int, step: Step) -> Noises:
    """Without a noise level nothing is taken from the stream."""
    return drawn(x, m, step) if step.sigma > 0 else [[torch.zeros_like(image) for image in x]] * m


def _uniform(count: int, step: Step) -> list[float]:
    return torch.rand(count, generator=step.generator).tolist()


DERIVATIONS: dict[str, Callable[[Any, nn.Module, Tensor, Tensor, Step], Tensor]] = {
    "gaussian": gaussian,
    "stability": stability,
    "smoothadv": smoothadv,
    "macer": macer,
    "consistency": consistency,
    "smoothmix": smoothmix,
    "cat_rs": cat_rs,
    "adaptive_smoothing": adaptive_smoothing,
}
