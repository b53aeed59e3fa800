/* SPDX-License-Identifier: MIT */
/*
 * A picture in tiles that are drawn when they are asked for, and again when they were purged, in
 * C++: what is held, mapped and registered ends with its scope. Drawing can fail with an exception;
 * the tile then counts as lost still.
 *
 *   tiles
 */
#include <ashmem/ashmem.hpp>

#include <cstdio>
#include <stdexcept>
#include <utility>

namespace
{

constexpr std::size_t tile_bytes = 65536; /* a multiple of every page size that Linux systems use */
constexpr int side = 256;                 /* pixels, one byte each */

class picture
{
      public:
	explicit picture(unsigned tiles) : area_("tiles", tiles * tile_bytes), memory_(area_.map())
	{
		/* Nothing is drawn yet, which is the same as lost: unpin and purge. */
		area_.unpin();
		ashmem::purge_all();
	}

	/* A tile for as long as this lives: no process purges it, whatever others do. */
	class tile
	{
	      public:
		const unsigned char *pixels() const { return pixels_; }

	      private:
		friend class picture;
		tile(ashmem::held &&hold, const unsigned char *pixels)
		    : hold_(std::move(hold)), pixels_(pixels)
		{
		}

		ashmem::held hold_;
		const unsigned char *pixels_;
	};

	tile get(unsigned n)
	{
		ashmem::held hold(area_, n * tile_bytes, tile_bytes);
		auto pixels = memory_.as<unsigned char>(n * tile_bytes);

		if (hold.was_purged()) {
			/* may throw: then the hold ends, and the tile stays lost */
			draw(n, pixels);
			hold.rebuilt();
		}
		return tile(std::move(hold), pixels);
	}

	unsigned drawn() const { return drawn_; }
	void fail_at(int n) { fail_at_ = n; }

      private:
	/* A piece of the Mandelbrot set. */
	void draw(unsigned n, unsigned char *pixels)
	{
		for (int i = 0; i < side * side; i++) {
			if (i == side * side / 2 && static_cast<int>(n) == fail_at_)
				throw std::runtime_error("the painter fell asleep");
			double x0 = -2.0 + n * 0.1 + i % side * 0.0004, y0 = i / side * 0.004,
			       x = 0, y = 0;
			unsigned char steps = 0;
			for (; x * x + y * y < 4 && steps < 255; steps++) {
				double next = x * x - y * y + x0;
				y = 2 * x * y + y0;
				x = next;
			}
			pixels[i] = steps;
		}
		drawn_++;
	}

	ashmem::area area_;
	ashmem::mapping memory_;
	unsigned drawn_ = 0;
	int fail_at_ = -1;
};

unsigned long look_at_all(picture &picture, unsigned tiles)
{
	unsigned long sum = 0;

	for (unsigned n = 0; n < tiles; n++) {
		picture::tile tile = picture.get(n);
		for (int i = 0; i < side * side; i++)
			sum += tile.pixels()[i];
	}
	return sum;
}

} /* namespace */

int main()
{
	const unsigned tiles = 16;

	if (ashmem_backend_select("memfd") < 0) /* the driver has no holds */
		return 1;
	try {
		picture picture(tiles);
		unsigned long sum = look_at_all(picture, tiles);
		std::printf("%u tiles drawn\n", picture.drawn());

		ashmem::shrink(ashmem::shrink_count() / 4); /* memory is short */
		picture.fail_at(0);
		try {
			look_at_all(picture, tiles);
		} catch (const std::runtime_error &error) {
			std::printf("%s\n", error.what());
		}
		picture.fail_at(-1);
		bool same = look_at_all(picture, tiles) == sum;
		std::printf("%u tiles drawn, the picture is %s\n", picture.drawn(),
			same ? "the same" : "wrong");
		return !same;
	} catch (const std::system_error &error) {
		std::fprintf(stderr, "%s\n", error.what());
		return 1;
	}
}
