import pytest
import torch

from models.diffumin.orthonormal import cosine_rows, orthonormal_rows

KINDS = ("qr", "cgs2", "polar")
kinds = pytest.mark.parametrize("kind", KINDS)


def random_rows(batch=50, number=4, size=40, seed=0):
    return torch.randn(batch, number, size, generator=torch.Generator().manual_seed(seed))


def special_rows():
    """Return rows that are random, equal, nearly equal, missing, huge and tiny."""
    rows = random_rows(6)
    rows[1, 1:] = rows[1, :1]
    rows[2, 1] = rows[2, 0] * (1 + 1e-7)
    rows[3] = 0.0
    rows[4] *= 1e30
    rows[5] *= 1e-30
    return rows


@kinds
def test_rows_are_orthonormal_whatever_they_are_made_of(kind):
    for rows in (random_rows(), special_rows()):
        basis = orthonormal_rows(rows, kind)
        assert basis.dtype == torch.float32
        gram = basis @ basis.transpose(1, 2)
        torch.testing.assert_close(gram, torch.eye(4).expand_as(gram), rtol=0, atol=1e-5)


@kinds
def test_basis_spans_the_rows(kind):
    rows = random_rows()
    basis = orthonormal_rows(rows, kind)
    within = (rows @ basis.transpose(1, 2)) @ basis
    torch.testing.assert_close(within, rows, rtol=0, atol=1e-5)


def test_qr_is_gram_schmidt_with_a_positive_diagonal():
    for rows in (random_rows(), special_rows()):
        basis = orthonormal_rows(rows, "qr")
        torch.testing.assert_close(orthonormal_rows(rows, "cgs2"), basis, rtol=0, atol=1e-5)
    triangle = random_rows() @ orthonormal_rows(random_rows(), "qr").transpose(1, 2)
    assert (triangle.diagonal(dim1=1, dim2=2) > 0).all()
    torch.testing.assert_close(triangle.triu(1), torch.zeros_like(triangle), rtol=0, atol=1e-5)


def test_polar_is_the_inverse_root_of_the_gram_matrix_times_the_rows():
    rows = random_rows().double()
    values, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))
    root = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.transpose(1, 2)
    torch.testing.assert_close(orthonormal_rows(rows, "polar"), root @ rows, rtol=0, atol=1e-5)


def test_polar_treats_all_rows_alike_and_qr_does_not():
    rows, order = random_rows(), torch.tensor([2, 0, 3, 1])
    polar = orthonormal_rows(rows, "polar")
    torch.testing.assert_close(orthonormal_rows(rows[:, order], "polar"), polar[:, order], rtol=0, atol=1e-5)
    qr = orthonormal_rows(rows, "qr")
    assert (orthonormal_rows(rows[:, order], "qr") - qr[:, order]).abs().max() > 0.1


@kinds
def test_basis_does_not_depend_on_the_length_of_the_rows(kind):
    rows = random_rows()
    torch.testing.assert_close(orthonormal_rows(1e6 * rows, kind), orthonormal_rows(rows, kind))


@kinds
def test_gradient_is_that_of_finite_differences(kind):
    rows = random_rows(2, 3, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: orthonormal_rows(values, kind), rows, atol=1e-5)


@kinds
def test_equal_rows_have_a_finite_gradient(kind):
    rows = special_rows().requires_grad_()
    orthonormal_rows(rows, kind).sum().backward()
    assert torch.isfinite(rows.grad[:4]).all()


@kinds
def test_a_basis_is_the_same_in_every_company(kind):
    rows = special_rows()
    together = orthonormal_rows(rows, kind)
    for number in range(len(rows)):
        torch.testing.assert_close(orthonormal_rows(rows[number], kind), together[number], rtol=0, atol=1e-6)


def test_more_rows_than_columns_are_refused():
    with pytest.raises(ValueError, match="at most 3 rows"):
        orthonormal_rows(torch.ones(4, 3), "qr")


def test_guard_is_orthonormal():
    rows = cosine_rows(5, 7)
    torch.testing.assert_close(rows @ rows.T, torch.eye(5, dtype=torch.float64))


@pytest.mark.gpu
@kinds
def test_basis_on_a_gpu_is_that_on_the_cpu(kind):
    rows = special_rows()
    torch.testing.assert_close(
        orthonormal_rows(rows.cuda(), kind).cpu(), orthonormal_rows(rows, kind), rtol=0, atol=1e-5
    )
