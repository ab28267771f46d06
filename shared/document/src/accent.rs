//! The color of what stands out.

/// The color of what stands out on an invoice, once for white paper and once for dark screens. Each is readable as
/// text there, and as the ground of a button with text in the other's paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accent {
    on_light: String,
    on_dark: String,
}

/// The brightest that a color on white paper may be, of 255, and the darkest on a dark screen.
const BRIGHTEST_ON_LIGHT: u32 = 130;
const DARKEST_ON_DARK: u32 = 165;

impl Default for Accent {
    fn default() -> Self {
        Self { on_light: "#0f5f5c".to_owned(), on_dark: "#7ccbc3".to_owned() }
    }
}

impl Accent {
    /// A brand's color, made darker or lighter where it could not be read. `None` if it is none of the form
    /// `#0f5f5c`.
    pub fn of_brand(color: &str) -> Option<Self> {
        let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let channel = |from: usize| u32::from_str_radix(digits.get(from..from + 2)?, 16).ok();
        let color = [channel(0)?, channel(2)?, channel(4)?];
        let bright = brightness(color);
        let on_light = match bright > BRIGHTEST_ON_LIGHT {
            true => color.map(|channel| channel * BRIGHTEST_ON_LIGHT / bright),
            false => color,
        };
        let on_dark = match bright < DARKEST_ON_DARK {
            true => {
                let (part, whole) = (DARKEST_ON_DARK - bright, 255 - bright);
                color.map(|channel| channel + (255 - channel) * part / whole)
            }
            false => color,
        };
        Some(Self { on_light: hex(on_light), on_dark: hex(on_dark) })
    }

    /// On white paper.
    pub(crate) fn on_light(&self) -> &str {
        &self.on_light
    }

    /// On a dark screen.
    pub(crate) fn on_dark(&self) -> &str {
        &self.on_dark
    }
}

/// How bright a color seems, of 255: green more than red, and red more than blue.
fn brightness([red, green, blue]: [u32; 3]) -> u32 {
    (red * 299 + green * 587 + blue * 114) / 1000
}

fn hex([red, green, blue]: [u32; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_readable_on_either_ground() {
        let check = |color: &str, on_light: &str, on_dark: &str| {
            let accent = Accent::of_brand(color).unwrap();
            assert_eq!((accent.on_light(), accent.on_dark()), (on_light, on_dark), "{color}");
        };
        check("#0f5f5c", "#0f5f5c", "#8ab1af");
        check("#000000", "#000000", "#a5a5a5");
        check("#FFFFFF", "#828282", "#ffffff");
        check("#ffd400", "#a58900", "#ffd400"); // a yellow that nobody could read on white
        for wrong in ["", "#fff", "0f5f5c", "#0f5f5", "#0f5f5cc", "#gggggg", "#ééé"] {
            assert_eq!(Accent::of_brand(wrong), None, "{wrong}");
        }
    }
}
