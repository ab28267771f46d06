//! The fields that make a price, which every body that has a price carries beside its own. They are written once here:
//! serde can flatten a struct into another, or refuse fields that it does not know, but not both.

/// A body with a price, as it comes in.
macro_rules! priced_in {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            /// How a quantity becomes an amount. If not given that of the charge, for a filter or an override;
            /// else `standard`.
            charge_model: Option<$crate::price::ChargeModelName>,
            /// Price of one, in major units; of a package for `package`.
            unit_price: Option<$crate::number::NumberIn>,
            /// The tiers of a graduated, volume or stairstep price.
            tiers: Option<Vec<$crate::price::TierBody>>,
            /// The same as `tiers`.
            usage_pricing_rules: Option<Vec<$crate::price::TierBody>>,
            /// How many units are in a package.
            package_size: Option<$crate::number::NumberIn>,
            /// Units, or for `percentage` events, that cost nothing.
            free_units: Option<$crate::number::NumberIn>,
            /// Percent of every event's quantity.
            rate: Option<$crate::number::NumberIn>,
            /// What every event costs on top.
            fixed_fee: Option<$crate::number::NumberIn>,
            /// How much of the quantity costs nothing.
            free_amount: Option<$crate::number::NumberIn>,
            /// What an event costs at least.
            minimum_per_event: Option<$crate::number::NumberIn>,
            /// What an event costs at most.
            maximum_per_event: Option<$crate::number::NumberIn>,
            /// Units that cost nothing, before the model counts.
            included_units: Option<$crate::number::NumberIn>,
            /// A smaller amount is raised to it. Of a filter that took no usage nothing is.
            minimum_amount: Option<$crate::number::NumberIn>,
            /// A larger amount is lowered to it.
            maximum_amount: Option<$crate::number::NumberIn>,
        }

        impl $name {
            /// Its price fields, without its tiers from then on. Tiers by both names are refused, after `prefix`.
            fn take_price(&mut self, check: &mut $crate::check::Check, prefix: &str) -> $crate::price::PriceFields {
                let (tiers, rules) = (self.tiers.take(), self.usage_pricing_rules.take());
                if tiers.is_some() && rules.is_some() {
                    let field = format!("{prefix}usage_pricing_rules");
                    check.refuse(field, "are the tiers by another name: give one of the two");
                }
                $crate::price::PriceFields {
                    charge_model: self.charge_model,
                    unit_price: self.unit_price,
                    tiers: tiers.or(rules),
                    package_size: self.package_size,
                    free_units: self.free_units,
                    rate: self.rate,
                    fixed_fee: self.fixed_fee,
                    free_amount: self.free_amount,
                    minimum_per_event: self.minimum_per_event,
                    maximum_per_event: self.maximum_per_event,
                    included_units: self.included_units,
                    minimum_amount: self.minimum_amount,
                    maximum_amount: self.maximum_amount,
                }
            }
        }
    };
}

/// A body with a price, as it goes out. `priced` makes it of its own fields and the price.
macro_rules! priced_out {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            /// How a quantity becomes an amount.
            pub charge_model: $crate::price::ChargeModelName,
            /// Price of one, where there is one price; of a package for `package`.
            pub unit_price: Option<$crate::number::NumberOut>,
            /// The tiers of a graduated, volume or stairstep price.
            pub tiers: Option<Vec<$crate::price_out::TierOutBody>>,
            /// How many units are in a package.
            pub package_size: Option<$crate::number::NumberOut>,
            /// Units, or for `percentage` events, that cost nothing.
            pub free_units: Option<$crate::number::NumberOut>,
            /// Percent of every event's quantity.
            pub rate: Option<$crate::number::NumberOut>,
            /// What every event costs on top.
            pub fixed_fee: Option<$crate::number::NumberOut>,
            /// How much of the quantity costs nothing.
            pub free_amount: Option<$crate::number::NumberOut>,
            /// What an event costs at least.
            pub minimum_per_event: Option<$crate::number::NumberOut>,
            /// What an event costs at most.
            pub maximum_per_event: Option<$crate::number::NumberOut>,
            /// Units that cost nothing, before the model counts.
            pub included_units: $crate::number::NumberOut,
            /// A smaller amount is raised to it.
            pub minimum_amount: Option<$crate::number::NumberOut>,
            /// A larger amount is lowered to it.
            pub maximum_amount: Option<$crate::number::NumberOut>,
        }
    };
}

/// A body of [`priced_out`]: its own fields, and those of a `Pricing`.
macro_rules! priced {
    ($pricing:expr, $name:ident { $($own:tt)* }) => {{
        use $crate::number::NumberOut;
        let pricing: &domain::charge::Pricing = $pricing;
        let model = $crate::price_out::ModelOut::of(&pricing.model);
        $name {
            charge_model: $crate::price::ChargeModelName::from_domain(&pricing.model),
            unit_price: model.unit_price.map(NumberOut),
            tiers: model.tiers,
            package_size: model.package_size.map(NumberOut),
            free_units: model.free_units.map(NumberOut),
            rate: model.rate.map(NumberOut),
            fixed_fee: model.fixed_fee.map(NumberOut),
            free_amount: model.free_amount.map(NumberOut),
            minimum_per_event: model.minimum_per_event.map(NumberOut),
            maximum_per_event: model.maximum_per_event.map(NumberOut),
            included_units: NumberOut(pricing.included_units),
            minimum_amount: pricing.limits.minimum.map(NumberOut),
            maximum_amount: pricing.limits.maximum.map(NumberOut),
            $($own)*
        }
    }};
}

pub(crate) use {priced, priced_in, priced_out};
