"""Windows and latent repacking against index arithmetic written out."""

import torch

from swathpack.codec.terracodec.repack import cut_context, cut_windows, join_windows, repack


def test_repacking_is_its_own_inverse_and_gathers_channel_slices() -> None:
    tokens = torch.randn(3, 16, 192)
    packed = repack(tokens)
    torch.testing.assert_close(repack(packed), tokens)
    for j in (0, 5, 15):  # token j: channels [12 j, 12 j + 12) at all positions, position by position
        wanted = torch.cat([tokens[:, p, 12 * j : 12 * j + 12] for p in range(16)], 1)
        torch.testing.assert_close(packed[:, j], wanted)


def test_windows_are_in_raster_order() -> None:
    latent = torch.randn(2, 5, 8, 12)
    tokens = cut_windows(latent, 4)
    assert tokens.shape == (2 * 2 * 3, 16, 5)
    torch.testing.assert_close(tokens[1 * 6 + 1 * 3 + 2, 4 * 3 + 1], latent[1, :, 4 + 3, 8 + 1])
    torch.testing.assert_close(join_windows(tokens, (2, 3), 4), latent)


def test_context_windows_reach_two_positions_beyond_and_reflect() -> None:
    latent = torch.randn(1, 3, 8, 8)
    windows = cut_context(latent, 4)
    assert windows.shape == (4, 64, 3)
    inner = windows[3].reshape(8, 8, 3)  # window at rows 4..7, columns 4..7, seen from 2
    torch.testing.assert_close(inner[0, 0], latent[0, :, 2, 2])
    torch.testing.assert_close(inner[5, 5], latent[0, :, 7, 7])
    torch.testing.assert_close(inner[7, 6], latent[0, :, 5, 6])  # rows 8, 9 mirror 6, 5
